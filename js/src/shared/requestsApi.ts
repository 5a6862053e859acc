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
  endpoint_version_name?: string | undefined;
  /** "200", or "4xx". */
  status?: string | undefined;
  /** Milliseconds since 1970. */
  from?: number | undefined;
  to?: number | undefined;
  min_ms?: number | undefined;
}

export const listRequests = (target: Target, filter: RequestFilter, pageToken?: string) =>
  get<RequestPage>(`${BASE}/list-requests`, { ...target, ...filter, page_token: pageToken, max_results: 50 });

/** The time makes the search short. */
export const getRequest = (target: Target, { request_id, request_time }: LoggedRequest) =>
  get<LoggedExchange>(`${BASE}/get-request`, { ...target, request_id, request_time });
