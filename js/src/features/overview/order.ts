/** The rows of the overview and their order. Pure. */

import type { Overview, Tone } from "../../shared/api";
import { requestsOf } from "../../shared/figures";

/** What needs a person comes first. */
const TONES: readonly Tone[] = ["failed", "degraded", "busy", "ready", "idle"];

export interface Row {
  overview: Overview;
  requests: number;
  /** Versions with a worker that is ready, and ready workers. */
  versions: number;
  replicas: number;
  /** When a version last entered its state, in milliseconds since 1970; null without a version. */
  changed: number | null;
}

export type Column = "name" | "state" | "versions" | "replicas" | "requests" | "rate" | "p95" | "errors" | "memory" | "asked" | "changed";

export interface Order {
  column: Column;
  descending: boolean;
}

export const FIRST: Order = { column: "state", descending: false };

/** The order after a click on the head of a column: numbers begin with the largest. */
export const clicked = (order: Order, column: Column): Order => ({
  column,
  descending: order.column === column ? !order.descending : column !== "name" && column !== "state",
});

export const rowOf = (overview: Overview): Row => ({
  overview,
  requests: requestsOf(overview.versions),
  versions: overview.versions.filter((one) => one.ready_replicas > 0).length,
  replicas: overview.versions.reduce((sum, one) => sum + one.ready_replicas, 0),
  changed: overview.versions.length ? Math.max(...overview.versions.map((one) => one.since)) : null,
});

const VALUES: Record<Exclude<Column, "name">, (row: Row) => number | null> = {
  state: (row) => TONES.indexOf(row.overview.tone),
  versions: (row) => row.versions,
  replicas: (row) => row.replicas,
  requests: (row) => row.requests,
  rate: (row) => row.overview.figures?.requests_per_second ?? null,
  p95: (row) => row.overview.figures?.p95_ms ?? null,
  errors: (row) => row.overview.figures?.error_share ?? null,
  memory: (row) => row.overview.memory_bytes,
  asked: (row) => row.overview.last_request,
  changed: (row) => row.changed,
};

/** Rows by a column, then by name; rows without a value come last either way. */
export function inOrder(rows: readonly Row[], { column, descending }: Order): Row[] {
  const sign = descending ? -1 : 1;
  const byName = (a: Row, b: Row) =>
    a.overview.registered_model_name.localeCompare(b.overview.registered_model_name, undefined, { numeric: true });
  if (column === "name") return [...rows].sort((a, b) => sign * byName(a, b));
  return [...rows].sort((a, b) => {
    const [left, right] = [VALUES[column](a), VALUES[column](b)];
    if (left === right) return byName(a, b);
    if (left === null || right === null) return left === null ? 1 : -1;
    return sign * (left - right);
  });
}
