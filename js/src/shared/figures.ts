/** Figures of the last minutes, as the server measured them. Pure. */

import type { Column } from "./history";

/** Null where nothing was measured. */
export interface Lately {
  requests_per_second: number | null;
  p95_ms: number | null;
  /** Answers with a status from 500 on, as a share. */
  error_share: number | null;
  /** Requests in steps of two minutes, the oldest first. */
  spark: Column;
}

interface Counted {
  requests: number;
}

/** The requests of all versions since the server's start. */
export const requestsOf = (versions: readonly Counted[]): number => versions.reduce((sum, one) => sum + one.requests, 0);
