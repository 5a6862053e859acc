import { type FormEvent, useState } from "react";
import { useChange } from "../../shared/queries";
import { type RateLimit, type ServingEndpoint, limitEndpoint } from "../../shared/servingApi";
import { Button } from "../../shared/ui/Button";
import { Notice } from "../../shared/ui/Loaded";
import { LimitFields, type Limits, fromLimits, problemOfLimits, sameLimits, toLimits } from "./LimitFields";

/** The limits on calls a minute. They hold at once: no worker is replaced. */
export function RateLimits({ endpoint }: { endpoint: ServingEndpoint }) {
  const { name, rate_limits: present = [] } = endpoint;
  const [typed, setTyped] = useState<Limits>({});
  const [saved, setSaved] = useState("");
  const save = useChange((limits: RateLimit[]) => limitEndpoint(name, limits), [["serving-endpoint", name]]);
  const before = toLimits(present);
  const limits = { ...before, ...typed };
  const same = sameLimits(limits, before);
  const refused =
    endpoint.permission_level !== "CAN_MANAGE"
      ? "You need MANAGE permission on every registered model of the endpoint."
      : (problemOfLimits(limits) ?? (same ? "Nothing is changed." : null));
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (refused) return;
    save.mutate(fromLimits(limits), {
      onSuccess: () => {
        setTyped({});
        setSaved("Saved: the limits hold now.");
      },
    });
  };
  return (
    <form className="split" aria-label="Rate limits" onSubmit={submit} noValidate>
      <LimitFields
        limits={limits}
        change={(changed) => {
          setSaved("");
          setTyped(changed);
        }}
      />
      {save.error && <Notice tone="error">{save.error.message}</Notice>}
      <div className="actions">
        <Button type="submit" refused={refused} disabled={save.isPending}>
          {save.isPending ? "Saving…" : "Save Limits"}
        </Button>
        <span role="status" className={saved ? "good" : "muted"}>
          {saved || refused}
        </span>
      </div>
    </form>
  );
}
