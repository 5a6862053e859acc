/** What the page says of serving endpoints and their entities. Pure. */

import type { State } from "../../shared/api";
import type { ServedEntity, ServingEndpoint } from "../../shared/servingApi";

/** An update and its failure come before readiness: that is what a person looks for. */
export function stateOf({ state }: ServingEndpoint): State {
  const ready = state.ready === "READY";
  if (state.config_update === "IN_PROGRESS") return { label: ready ? "Updating" : "Starting", tone: "busy" };
  if (state.config_update === "UPDATE_FAILED") {
    return ready ? { label: "Update failed", tone: "degraded" } : { label: "Failed", tone: "failed" };
  }
  // UPDATE_CANCELED too: somebody wanted that.
  return ready ? { label: "Ready", tone: "ready" } : { label: "Not ready", tone: "degraded" };
}

const ENTITIES: Record<string, State> = {
  DEPLOYMENT_READY: { label: "Ready", tone: "ready" },
  DEPLOYMENT_CREATING: { label: "Starting", tone: "busy" },
  DEPLOYMENT_RECOVERING: { label: "Recovering", tone: "degraded" },
  DEPLOYMENT_FAILED: { label: "Failed", tone: "failed" },
  DEPLOYMENT_ABORTED: { label: "Stopped", tone: "idle" },
};

export const isAsleep = ({ state }: ServedEntity): boolean => state.deployment_state_message === "Scaled to zero";

export function entityState(entity: ServedEntity): State {
  const { state } = entity;
  if (isAsleep(entity)) return { label: "Asleep", tone: "idle" };
  return ENTITIES[state.deployment] ?? { label: state.deployment, tone: "idle" };
}

/** Each entity with its model and version: "present (iris, 3)". */
export const entitiesOf = ({ config, pending_config: pending }: ServingEndpoint): string =>
  ((config ?? pending)?.served_entities ?? [])
    .map(({ name, entity_name: model, entity_version: version }) => `${name} (${model}, ${version})`)
    .join(", ");

/** An entity's size in words. */
export function sizeOf(entity: Pick<ServedEntity, "workload_size" | "min_provisioned_concurrency" | "max_provisioned_concurrency" | "scale_to_zero_enabled">): string {
  const { min_provisioned_concurrency: least, max_provisioned_concurrency: most } = entity;
  const size = most === undefined ? (entity.workload_size ?? "Small") : `${least ?? 0} to ${most} requests`;
  return entity.scale_to_zero_enabled ? `${size}, may sleep` : size;
}
