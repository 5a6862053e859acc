/** The control API as functions, one per route that the pages use. */

import type { Lately } from "./figures";
import { change, get } from "./http";

export const BASE = "/ajax-api/2.0/mlflow/endpoints";
const TOKENS = "/ajax-api/2.0/token";

export type Tone = "ready" | "busy" | "degraded" | "failed" | "idle";

/** A state as people see it. The server decides, so that a new state needs no change here. */
export interface State {
  label: string;
  tone: Tone;
}

/** Python, MLflow or the library of the model's flavor. */
export interface Library {
  name: string;
  /** The version that the model was logged with. */
  logged: string;
  /** The version that serves the model; empty until the environment is built. */
  running: string;
  /** Whether the difference may matter. */
  differs: boolean;
}

export interface Version extends State {
  version: number;
  message: string;
  note: string;
  /** The Python environment of the version's workers, and why that one; empty until it is built. */
  environment: string;
  /** The nodes of the version's workers; empty while all are on the server's host. */
  placement: string;
  libraries: Library[];
  /** When the version entered its state, in milliseconds since 1970. */
  since: number;
  stage: string;
  aliases: string[];
  replicas: number;
  ready_replicas: number;
  /** Whether the version has no workers, and the next request wakes the version. */
  asleep: boolean;
  /** Where a sample request comes from; null while there is none. */
  sample: "example" | "signature" | null;
  /** Whether the version's files are on the server. */
  fetched: boolean;
  /** Whether an environment was built for the version, or is being built. */
  build_log: boolean;
  /** When a failed start is tried again, in milliseconds since 1970. */
  retry_at: number | null;
  /** Number of requests that this host has answered. */
  requests: number;
  figures?: Lately | null;
  /** Of the version's workers, when they were last measured. */
  memory_bytes: number;
  /** When the version was last asked, in milliseconds since 1970; null when not since the server's start. */
  last_request: number | null;
}

export interface Overview extends State {
  registered_model_name: string;
  state_message: string;
  /** EMPTY, STARTING, READY, DEGRADED or FAILED. */
  serving_state: string;
  /** Why `latest` stays on an older version; empty when it does not. */
  latest_message: string;
  /** The version that the state comes from. Times in milliseconds since 1970. */
  reason: { endpoint_version_name: string; since: number; retry_at: number | null } | null;
  versions: Version[];
  /** Which version answers for a stage. */
  stages: Record<string, string>;
  aliases: Record<string, string>;
  /** The version that `latest` means; null without an active version. */
  latest: string | null;
  /** Versions that are not served, each with the reason. */
  inactive: Record<string, string>;
  figures?: Lately | null;
  /** Of all versions' workers on this host. */
  memory_bytes: number;
  /** When a version was last asked, in milliseconds since 1970; null when not since the server's start. */
  last_request: number | null;
}

export interface Access {
  user: string | null;
  /** Whether the server authenticates callers. */
  auth: boolean;
  /** Whether the caller can create tokens. */
  tokens: boolean;
  permission: "NONE" | "READ" | "MANAGE";
}

export interface ServingEvent {
  timestamp: number;
  event_type: string;
  endpoint_version_name: string | null;
  message: string;
}

export interface EventPage {
  events: ServingEvent[];
  next_page_token?: string;
}

export interface FieldRule {
  title: string;
  description: string;
  type: "integer" | "number" | "string" | "object" | "boolean" | "array";
  enum?: string[];
  minimum?: number;
  exclusiveMinimum?: number;
  maximum?: number;
  default: unknown;
}

export type Config = Record<string, unknown>;

export interface ConfigReply {
  config: Config;
  schema: { properties: Record<string, FieldRule> };
}

export interface TokenInfo {
  token_id: string;
  creation_time: number;
  /** Milliseconds since 1970, -1 for never. */
  expiry_time: number;
  comment: string;
  created_by_username: string;
  last_used_time: number | null;
  /** The one model that the token is limited to; null: no limit. */
  scope: { registered_model_name: string } | null;
}

/** A request that the model takes: its own example, or one made from its signature. */
export interface Sample {
  body: string;
  source: "example" | "signature";
}

export interface LogPiece {
  logs: string;
  /** Where the piece begins and where the next piece will, in bytes. */
  offset: number;
  next_offset: number;
  /** The size of the whole log. */
  total_bytes: number;
}

const model = (name: string) => ({ registered_model_name: name });
const version = (name: string, number: number) => ({ ...model(name), endpoint_version_name: number });

export const getAccess = (name: string) => get<Access>(`${BASE}/get-access`, model(name));
export const getOverview = (name: string) => get<{ overview: Overview | null }>(`${BASE}/get-overview`, model(name));
export const listOverviews = () => get<{ overviews: Overview[] }>(`${BASE}/list-overviews`);
export const enable = (name: string) => change<object>("POST", `${BASE}/enable`, model(name));
export const disable = (name: string) => change<object>("POST", `${BASE}/disable`, model(name));
export const prewarm = (name: string) => change<object>("POST", `${BASE}/prewarm`, model(name));
export const getSample = (name: string, number: number) =>
  get<{ sample: Sample | null }>(`${BASE}/get-sample-request`, version(name, number));

export type LogKind = "get-version-logs" | "get-version-build-logs";
export const getLogs = (kind: LogKind, name: string, number: number, offset?: number) =>
  get<LogPiece>(`${BASE}/${kind}`, { ...version(name, number), offset });
export const getEvents = (name: string, number?: number, pageToken?: string) =>
  get<EventPage>(`${BASE}/get-event-history`, {
    ...model(name),
    endpoint_version_name: number,
    page_token: pageToken,
  });
export const getConfig = (name: string) => get<ConfigReply>(`${BASE}/get-config`, model(name));
export const updateConfig = (name: string, config: Config) =>
  change<{ config: Config }>("PUT", `${BASE}/update-compute-config`, { ...model(name), config });

export const listTokens = () => get<{ token_infos?: TokenInfo[] }>(`${TOKENS}/list`);
export const createToken = (comment: string, lifetimeSeconds: number, onlyFor: string | null) =>
  change<{ token_value: string; token_info: TokenInfo }>("POST", `${TOKENS}/create`, {
    comment,
    ...(lifetimeSeconds ? { lifetime_seconds: lifetimeSeconds } : {}),
    ...(onlyFor === null ? {} : { scope: model(onlyFor) }),
  });
export const deleteToken = (id: string) => change<object>("POST", `${TOKENS}/delete`, { token_id: id });
