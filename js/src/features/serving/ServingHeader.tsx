import { useState } from "react";
import { dateTime } from "../../shared/format";
import { useChange } from "../../shared/queries";
import { type ServingEndpoint, cancelUpdate, deleteEndpoint, wakeEntities } from "../../shared/servingApi";
import { Button } from "../../shared/ui/Button";
import { Dialog } from "../../shared/ui/Dialog";
import { Notice } from "../../shared/ui/Loaded";
import { Status } from "../../shared/ui/Status";
import { isAsleep, stateOf } from "./states";

/** The state of a serving endpoint with its reason, and the buttons that wake, cancel an update and delete. */
export function ServingHeader({ endpoint, deleted }: { endpoint: ServingEndpoint; deleted: () => void }) {
  const [asking, setAsking] = useState(false);
  const { name } = endpoint;
  const remove = useChange(() => deleteEndpoint(name), [["serving-endpoints"]]);
  const cancel = useChange(() => cancelUpdate(name), [["serving-endpoint", name], ["serving-endpoints"]]);
  const wake = useChange(() => wakeEntities(name), [["serving-endpoint", name]]);
  const refused = endpoint.permission_level === "CAN_MANAGE" ? null : "You need MANAGE permission on every registered model of the endpoint.";
  const failure = remove.error ?? cancel.error ?? wake.error;
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
        {endpoint.config?.served_entities.some(isAsleep) && (
          <Button disabled={wake.isPending} onClick={() => wake.mutate(undefined)}>
            {wake.isPending ? "Waking…" : "Wake"}
          </Button>
        )}
        {endpoint.config && endpoint.pending_config && (
          <Button refused={refused} disabled={cancel.isPending} onClick={() => cancel.mutate(undefined)}>
            {cancel.isPending ? "Canceling…" : "Cancel Update"}
          </Button>
        )}
        <Button refused={refused} disabled={remove.isPending} onClick={() => setAsking(true)}>
          {remove.isPending ? "Deleting…" : "Delete"}
        </Button>
      </div>
      {endpoint.description && <p>{endpoint.description}</p>}
      <LastUpdate state={endpoint.state} />
      {failure && <Notice tone="error">{failure.message}</Notice>}
      {asking && (
        <Dialog
          title={`Delete ${name}?`}
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

function LastUpdate({ state: { ready, config_update: update, config_update_message: message } }: Pick<ServingEndpoint, "state">) {
  if (!message) return null;
  if (update === "UPDATE_CANCELED") return <p className="muted">{message}</p>;
  return (
    <Notice tone={ready === "READY" ? "warning" : "error"}>
      The last update failed. {ready === "READY" && "The configuration before it answers. "}
      {message}
    </Notice>
  );
}
