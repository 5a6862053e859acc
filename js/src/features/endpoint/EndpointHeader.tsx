import { useState } from "react";
import { type Access, type Overview, disable, enable, prewarm } from "../../shared/api";
import { sentence } from "../../shared/format";
import { useChange } from "../../shared/queries";
import { Button } from "../../shared/ui/Button";
import { Dialog } from "../../shared/ui/Dialog";
import { Notice } from "../../shared/ui/Loaded";
import { NextTry, Status } from "../../shared/ui/Status";
import { refusal } from "./NotEnabled";

/** The state of the endpoint as a whole with its reason, and the buttons that stop it or try again. */
export function EndpointHeader({ overview, access }: { overview: Overview; access: Access | undefined }) {
  const [asking, setAsking] = useState(false);
  const name = overview.registered_model_name;
  const stop = useChange(() => disable(name), [["overview", name]]);
  const retry = useChange(() => enable(name), [["overview", name]]);
  const wake = useChange(() => prewarm(name), [["overview", name]]);
  const end = () => stop.mutate(undefined, { onSettled: () => setAsking(false) });
  const refused = refusal(access);
  const failure = stop.error ?? retry.error ?? wake.error;
  const ready = overview.versions.filter((one) => one.ready_replicas > 0).length;
  const asleep = overview.versions.filter((one) => one.asleep).length;
  return (
    <section className="endpoint" aria-label="State of serving">
      <div className="line">
        <span role="status" aria-label="Status">
          <Status of={overview} />
        </span>
        {overview.versions.length > 0 && (
          <span className="muted">
            {ready} of {overview.versions.length} {overview.versions.length === 1 ? "version" : "versions"} ready
            {asleep > 0 && `, ${asleep} asleep`}
          </span>
        )}
        <span className="grow" />
        {overview.reason?.retry_at && (
          <Button refused={refused} disabled={retry.isPending} onClick={() => retry.mutate(undefined)}>
            {retry.isPending ? "Trying…" : "Try Now"}
          </Button>
        )}
        {asleep > 0 && (
          <Button disabled={wake.isPending} onClick={() => wake.mutate(undefined)}>
            {wake.isPending ? "Waking…" : "Wake"}
          </Button>
        )}
        <Button refused={refused} disabled={stop.isPending} onClick={() => setAsking(true)}>
          {stop.isPending ? "Stopping…" : "Stop"}
        </Button>
      </div>
      <Reason overview={overview} />
      {overview.latest_message && <p className="muted">{overview.latest_message}</p>}
      {access && refused && <p className="muted small">{refused}</p>}
      {failure && <Notice tone="error">{failure.message}</Notice>}
      {asking && (
        <Dialog
          title="Stop serving?"
          confirm="Stop serving"
          busy={stop.isPending}
          onConfirm={end}
          onCancel={() => setAsking(false)}
        >
          Serving of all model versions will be stopped.
        </Dialog>
      )}
    </section>
  );
}

function Reason({ overview: { tone, state_message: message, reason } }: { overview: Overview }) {
  if (!message) return null;
  if (tone !== "failed" && tone !== "degraded") return <p className="muted">{message}</p>;
  return (
    <Notice tone={tone === "failed" ? "error" : "warning"}>
      {reason?.retry_at ? sentence(message) : message} {reason?.retry_at && <NextTry at={reason.retry_at} />}
    </Notice>
  );
}
