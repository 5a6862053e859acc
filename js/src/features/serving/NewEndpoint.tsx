import { useState } from "react";
import { useChange } from "../../shared/queries";
import { createEndpoint } from "../../shared/servingApi";
import { Button } from "../../shared/ui/Button";
import { Changes } from "../../shared/ui/Changes";
import { Notice } from "../../shared/ui/Loaded";
import { ConfigForm } from "./ConfigForm";
import { EMPTY, changes, problemOf, toBody } from "./draft";
import { Text } from "./EntityFields";
import { LimitFields, type Limits, fromLimits, problemOfLimits } from "./LimitFields";

/** The form for a new serving endpoint. `created` hears the endpoint's name. */
export function NewEndpoint({ created }: { created: (name: string) => void }) {
  const [name, setName] = useState("");
  const [description, setDescription] = useState("");
  const [draft, setDraft] = useState(EMPTY);
  const [limits, setLimits] = useState<Limits>({});
  const create = useChange(() => createEndpoint(name, toBody(draft), description, fromLimits(limits)), [["serving-endpoints"]]);
  const missing = problemOf(draft) ?? problemOfLimits(limits);
  const refused = name.trim() ? missing : "Give the endpoint a name.";
  return (
    <>
      <p className="muted">
        A serving endpoint has a name of its own, serves versions of one or several registered models, and splits its traffic among them.
      </p>
      <div className="grid">
        <Text label="Name of the endpoint" id="endpoint-name" value={name} set={setName} />
        <Text label="Description" id="endpoint-description" value={description} set={setDescription} />
      </div>
      <ConfigForm draft={draft} change={setDraft} />
      <section aria-label="Rate limits" className="split">
        <LimitFields limits={limits} change={setLimits} />
      </section>
      {!missing && <Changes list={changes(null, draft)} />}
      {create.error && <Notice tone="error">{create.error.message}</Notice>}
      <div className="actions">
        <Button kind="primary" refused={refused} disabled={create.isPending} onClick={() => create.mutate(undefined, { onSuccess: () => created(name) })}>
          {create.isPending ? "Creating…" : "Create"}
        </Button>
        <span className="muted">{refused}</span>
      </div>
    </>
  );
}
