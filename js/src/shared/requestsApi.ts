/** The log of requests: who asked what, and what was answered. Needs MANAGE. */

import { BASE } from "./api";
import { get } from "./http";
import type { Target } from "./history";

export interface LoggedRequest {
  request_id: string;
  client_request_id?: string | null;
  /** Milliseconds since 1970. */
  request_time: number;
  status_code: number;
  execution_duration_ms: number | null;
  /** The version's number; of a serving endpoint, the entity's name. */
  endpoint_version_name?: string | null;
  requester?: string | null;
}

export interface LoggedExchange extends LoggedRequest {
  /** Null where the log has no body. */
  request: string | null;
  response: string | null;
  logging_error_codes?: string[] | null;
}

export interface RequestPage {
  /** Whether the endpoint logs its requests. */
  enabled: boolean;
  requests: LoggedRequest[];
  next_page_token?: string | null;
}

export interface RequestFilter {
  /** What answered: a version's number, or the name of a serving endpoint's entity. */
  name?: string | undefined;
  /** "200", or "4xx". */
  status?: string | undefined;
  /** Milliseconds since 1970. */
  from?: number | undefined;
  to?: number | undefined;
  min_ms?: number | undefined;
}

/** The field that names what answered. */
const answering = (target: Target, name: string | undefined) => ({ ["serving_endpoint_name" in target ? "served_entity_name" : "endpoint_version_name"]: name });

export const listRequests = (target: Target, { name, ...filter }: RequestFilter, pageToken?: string) =>
  get<RequestPage>(`${BASE}/list-requests`, { ...target, ...answering(target, name), ...filter, page_token: pageToken, max_results: 50 });

/** The time makes the search short. */
export const getRequest = (target: Target, { request_id, request_time }: LoggedRequest) =>
  get<LoggedExchange>(`${BASE}/get-request`, { ...target, request_id, request_time });

/** A column of the logged inputs beside that of the version's input example. Shares are from 0 to 1. */
export interface ColumnDrift {
  name: string;
  type: string;
  null_share: number;
  baseline_null_share: number | null;
  minimum: number | null;
  maximum: number | null;
  baseline_minimum: number | null;
  baseline_maximum: number | null;
  /** The population stability index; null where there are few rows. */
  psi: number | null;
  bins: string[];
  shares: number[];
  baseline_shares: number[] | null;
}

export interface DriftReply {
  enabled: boolean;
  rows: number;
  baseline: string | null;
  columns: ColumnDrift[];
}

/** `name`: the version, or the entity of a serving endpoint. */
export const getDrift = (target: Target, name: string, from: number, to: number | undefined) =>
  get<DriftReply>(`${BASE}/get-drift`, { ...target, ...answering(target, name), from, to });
