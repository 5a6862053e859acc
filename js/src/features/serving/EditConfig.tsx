import { useState } from "react";
import { useDraft } from "../../shared/drafts";
import { useChange } from "../../shared/queries";
import { type ServingEndpoint, updateEndpoint } from "../../shared/servingApi";
import { Button } from "../../shared/ui/Button";
import { Changes } from "../../shared/ui/Changes";
import { Notice } from "../../shared/ui/Loaded";
import { ConfigForm } from "./ConfigForm";
import { RateLimits } from "./RateLimits";
import { type Draft, changes, problemOf, toBody, toDraft } from "./draft";

/** The configuration of a serving endpoint as a form that shows what changes before the change is applied. */
export function EditConfig({ endpoint }: { endpoint: ServingEndpoint }) {
  const { name } = endpoint;
  const present = endpoint.config ?? endpoint.pending_config;
  // What is not applied yet survives another tab of the page. Not in the browser's storage: variables are secrets.
  const [text, setText] = useDraft(`serving ${name}`, false);
  const [applied, setApplied] = useState("");
  const before = present ? toDraft(present) : null;
  const apply = useChange((draft: Draft) => updateEndpoint(name, toBody(draft)), [["serving-endpoint", name], ["serving-endpoints"], ["requests"]]);
  if (!before) return null;
  const draft = text ? (JSON.parse(text) as Draft) : before;
  const list = changes(before, draft);
  const refused = refusal(endpoint) ?? problemOf(draft) ?? (list.length ? null : "Nothing is changed.");
  const save = () =>
    apply.mutate(draft, {
      onSuccess: () => {
        setText("");
        setApplied("The update has begun. The present configuration answers until the new one is ready.");
      },
    });
  return (
    <>
      <ConfigForm
        draft={draft}
        change={(changed) => {
          setApplied("");
          setText(JSON.stringify(changed));
        }}
      />
      <Changes list={list} />
      {apply.error && <Notice tone="error">{apply.error.message}</Notice>}
      <div className="actions">
        <Button kind="primary" refused={refused} disabled={apply.isPending} onClick={save}>
          {apply.isPending ? "Applying…" : "Apply"}
        </Button>
        <Button disabled={!text} onClick={() => setText("")}>
          Discard Changes
        </Button>
        <span role="status" className={applied ? "good" : "muted"}>
          {applied || refused}
        </span>
      </div>
      <RateLimits endpoint={endpoint} />
    </>
  );
}

function refusal({ permission_level: level, state }: ServingEndpoint): string | null {
  if (level !== "CAN_MANAGE") return "You need MANAGE permission on every registered model of the endpoint.";
  return state.config_update === "IN_PROGRESS" ? "An update is under way. Wait for its end, or cancel it." : null;
}
