/** Databricks' `serving-endpoints` as functions, one per route that the pages use. */

import type { EventPage, Sample } from "./api";
import { change, get } from "./http";

const BASE = "/ajax-api/2.0/serving-endpoints";

export interface ServedEntity {
  name: string;
  entity_name: string;
  /** A number, "@alias" or a stage. */
  entity_version: string;
  /** The version that an alias or a stage means now. */
  model_version_now?: string;
  workload_size?: string;
  min_provisioned_concurrency?: number;
  max_provisioned_concurrency?: number;
  scale_to_zero_enabled?: boolean;
  environment_vars?: Record<string, string>;
  config?: Record<string, unknown>;
  state: { deployment: string; deployment_state_message: string };
}

export interface Shadow {
  served_model_name: string;
  percentage: number;
  tolerance?: number;
}

export interface ServedConfig {
  served_entities: ServedEntity[];
  traffic_config?: { routes: { served_model_name: string; traffic_percentage: number }[] };
  config_version?: number;
  /** Of a pending configuration, in milliseconds since 1970. */
  start_time?: number;
  shadow?: Shadow | null;
  request_log?: Record<string, unknown>;
}

/** A limit on the calls within a minute: of the whole endpoint, or of each user. */
export interface RateLimit {
  calls: number;
  key: "endpoint" | "user";
  renewal_period: "minute";
}

export interface ServingEndpoint {
  name: string;
  id: string;
  creator?: string | null;
  creation_timestamp: number;
  last_updated_timestamp: number;
  state: { ready: string; config_update: string; config_update_message?: string };
  config?: ServedConfig;
  pending_config?: ServedConfig;
  description: string;
  permission_level: string;
  rate_limits?: RateLimit[];
}

/** What a client sends of an entity. */
export type EntityInput = Omit<ServedEntity, "state" | "model_version_now">;

export interface ConfigInput {
  served_entities: EntityInput[];
  traffic_config: { routes: { served_model_name: string; traffic_percentage: number }[] };
  shadow?: Shadow;
  /** Keys that are left out stay as they are; null resets a key. */
  request_log?: Record<string, unknown>;
}

interface Latency {
  p50_ms: number | null;
  p95_ms: number | null;
}

/** How the answers of the shadow agree with those that callers got. */
export interface Agreement {
  served_model_name: string;
  percentage: number;
  requests: number;
  equal: number;
  within_tolerance: number;
  differs: number;
  errors: number;
  dropped: number;
  latency: { primary: Latency; shadow: Latency };
}

/** A request that the shadow answered otherwise. Bodies are null where they are no text, and end with "…" where they are cut. */
export interface Difference {
  request_id: string;
  /** Milliseconds since 1970. */
  request_time: number;
  served_model_name: string;
  shadow_model_name: string;
  request: string | null;
  response: string | null;
  shadow_response: string | null;
}

export type EntityLog = "logs" | "build-logs";

const at = (name: string, rest = "") => `${BASE}/${encodeURIComponent(name)}${rest}`;
const entityAt = (name: string, entity: string, rest: string) => at(name, `/served-models/${encodeURIComponent(entity)}/${rest}`);

export const listEndpoints = () => get<{ endpoints: ServingEndpoint[] }>(BASE);
export const getEndpoint = (name: string) => get<ServingEndpoint>(at(name));
export const createEndpoint = (name: string, config: ConfigInput, description: string, limits: RateLimit[]) =>
  change<ServingEndpoint>("POST", BASE, { name, config, description, rate_limits: limits });
export const updateEndpoint = (name: string, config: ConfigInput) =>
  change<ServingEndpoint>("PUT", at(name, "/config"), { ...config });
/** Limits that are left out end. */
export const limitEndpoint = (name: string, limits: RateLimit[]) =>
  change<{ rate_limits: RateLimit[] }>("PUT", at(name, "/rate-limits"), { rate_limits: limits });
/** Ends the update that is under way. */
export const cancelUpdate = (name: string) => change<ServingEndpoint>("POST", at(name, "/cancel-update"), {});
/** Wakes all entities that sleep. */
export const wakeEntities = (name: string) => change<object>("POST", at(name, "/prewarm"), {});
export const deleteEndpoint = (name: string) => change<object>("DELETE", at(name), {});
export const getEndpointEvents = (name: string, pageToken?: string) =>
  get<EventPage>(at(name, "/events"), { page_token: pageToken });
export const getEntityLog = (name: string, entity: string, kind: EntityLog) =>
  get<{ logs: string }>(entityAt(name, entity, kind));
export const getEntitySample = (name: string, entity: string) =>
  get<{ sample: Sample | null }>(entityAt(name, entity, "sample-request"));
export const getDifferences = (name: string) => get<{ differences: Difference[] }>(at(name, "/shadow/differences"));
export const getAgreement = (name: string) => get<Agreement>(at(name, "/shadow"));

/** Paths of scoring requests: by the traffic split, or to one entity. */
export const scoringPath = (name: string, entity?: string): string =>
  `/serving-endpoints/${encodeURIComponent(name)}${entity === undefined ? "" : `/served-models/${encodeURIComponent(entity)}`}/invocations`;

/** Names of registered models that hold a text, for suggestions. */
export const findModels = (text: string) =>
  get<{ registered_models?: { name: string }[] }>("/ajax-api/2.0/mlflow/registered-models/search", {
    filter: `name ILIKE '%${text.replace(/'/g, "")}%'`,
    max_results: 20,
  });

/** A registered model with its newest versions and aliases, for suggestions. */
export const findVersions = (model: string) =>
  get<{ model_versions?: { version: string; aliases?: string[] }[] }>("/ajax-api/2.0/mlflow/model-versions/search", {
    filter: `name='${model.replace(/'/g, "")}'`,
    max_results: 20,
  });
