import { useState } from "react";
import { type Access, type Overview, disable } from "../../shared/api";
import { useChange } from "../../shared/queries";
import { Button } from "../../shared/ui/Button";
import { Dialog } from "../../shared/ui/Dialog";
import { Notice } from "../../shared/ui/Loaded";
import { Status } from "../../shared/ui/Status";
import { refusal } from "./NotEnabled";

/** The state of the endpoint as a whole, and the button that stops it. */
export function EndpointHeader({ overview, access }: { overview: Overview; access: Access | undefined }) {
  const [asking, setAsking] = useState(false);
  const name = overview.registered_model_name;
  const stop = useChange(() => disable(name), [["overview", name]]);
  const end = () => stop.mutate(undefined, { onSettled: () => setAsking(false) });
  return (
    <div className="endpoint">
      <span className="muted">Status:</span>
      <Status of={overview} />
      {overview.state_message && <span className="muted">{overview.state_message}</span>}
      <Button refused={refusal(access)} disabled={stop.isPending} onClick={() => setAsking(true)}>
        {stop.isPending ? "Stopping…" : "Stop"}
      </Button>
      {stop.error && <Notice tone="error">{stop.error.message}</Notice>}
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
    </div>
  );
}
