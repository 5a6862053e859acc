import { useState } from "react";
import { dateTime } from "../../shared/format";
import { useChange } from "../../shared/queries";
import { type ServingEndpoint, deleteEndpoint } from "../../shared/servingApi";
import { Button } from "../../shared/ui/Button";
import { Dialog } from "../../shared/ui/Dialog";
import { Notice } from "../../shared/ui/Loaded";
import { Status } from "../../shared/ui/Status";
import { stateOf } from "./states";

/** The state of a serving endpoint with its reason, and the button that deletes the endpoint. */
export function ServingHeader({ endpoint, deleted }: { endpoint: ServingEndpoint; deleted: () => void }) {
  const [asking, setAsking] = useState(false);
  const remove = useChange(() => deleteEndpoint(endpoint.name), [["serving-endpoints"]]);
  const refused = endpoint.permission_level === "CAN_MANAGE" ? null : "You need MANAGE permission on every registered model of the endpoint.";
  const message = endpoint.state.config_update_message;
  return (
    <section className="endpoint" aria-label="State of serving">
      <div className="line">
        <span role="status" aria-label="Status">
          <Status of={stateOf(endpoint)} />
        </span>
        <span className="muted">
          {endpoint.config?.config_version !== undefined && `Configuration ${endpoint.config.config_version}, `}
          changed <span className="nowrap">{dateTime(endpoint.last_updated_timestamp)}</span>
          {endpoint.creator && `, created by ${endpoint.creator}`}
        </span>
        <span className="grow" />
        <Button refused={refused} disabled={remove.isPending} onClick={() => setAsking(true)}>
          {remove.isPending ? "Deleting…" : "Delete"}
        </Button>
      </div>
      {endpoint.description && <p>{endpoint.description}</p>}
      {message && (
        <Notice tone={endpoint.state.ready === "READY" ? "warning" : "error"}>
          The last update failed. {endpoint.state.ready === "READY" && "The configuration before it answers. "}
          {message}
        </Notice>
      )}
      {remove.error && <Notice tone="error">{remove.error.message}</Notice>}
      {asking && (
        <Dialog
          title={`Delete ${endpoint.name}?`}
          confirm="Delete endpoint"
          busy={remove.isPending}
          onConfirm={() => remove.mutate(undefined, { onSuccess: deleted, onSettled: () => setAsking(false) })}
          onCancel={() => setAsking(false)}
        >
          The endpoint and its configuration will be deleted. The registered models stay.
        </Dialog>
      )}
    </section>
  );
}
