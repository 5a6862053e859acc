/** What was measured over time: the API's shapes, and figures from them. Pure but for the request. */

import { get } from "./http";

/** One value for each time; null where nothing was measured. */
export type Column = (number | null)[];

export interface Series {
  endpoint_version_name?: string;
  served_entity_name?: string;
  /** Counts within a step. */
  requests: Column;
  /** Counts within a step; each error is of one kind: "4xx", "5xx" or a single status. */
  errors: Record<string, Column>;
  p50_ms: Column;
  p95_ms: Column;
  p99_ms: Column;
  in_hand: Column;
  replicas: Column;
  memory_bytes: Column;
  /** Used within a step. */
  cpu_seconds: Column;
  batch_rows: Column;
  first_event_ms: Column;
}

export interface Mark {
  /** Milliseconds since 1970. */
  time: number;
  event_type: string;
  message: string;
  endpoint_version_name: string | null;
}

export interface History {
  from: number;
  to: number;
  step_ms: number;
  times: number[];
  series: Series[];
  marks: Mark[];
  /** When the answer came, in milliseconds since 1970. */
  asked: number;
}

/** A registered model with serving enabled, or a serving endpoint. */
export type Target = { registered_model_name: string } | { serving_endpoint_name: string };

export const targetName = (target: Target): string =>
  "serving_endpoint_name" in target ? target.serving_endpoint_name : target.registered_model_name;

/** `from`, `to`: milliseconds since 1970; without them the last hour by the server's clock. */
export async function getHistory(target: Target, from?: number, to?: number): Promise<History> {
  const history = await get<History>("/ajax-api/2.0/mlflow/endpoints/get-history", { ...target, from, to });
  return { ...history, asked: Date.now() };
}

/** "Version 7", or the name of a served entity. */
export const lineName = (series: Series): string =>
  series.served_entity_name ?? `Version ${series.endpoint_version_name ?? ""}`;

/** Several columns added up; null where none of them was measured. */
export function added(columns: readonly Column[], length: number): Column {
  return Array.from({ length }, (_, index) => {
    const known = columns.flatMap((column) => column[index] ?? []);
    return known.length ? known.reduce((sum, one) => sum + one, 0) : null;
  });
}

/** The largest of several columns; null where none of them was measured. */
export function largest(columns: readonly Column[], length: number): Column {
  return Array.from({ length }, (_, index) => {
    const known = columns.flatMap((column) => column[index] ?? []);
    return known.length ? Math.max(...known) : null;
  });
}

/** A share where there were requests; null elsewhere. */
export const shares = (parts: Column, wholes: Column): Column =>
  wholes.map((whole, index) => (whole ? (parts[index] ?? 0) / whole : null));

/** Requests that were answered with a status from 500 on. */
export const failures = ({ errors, requests }: Series): Column =>
  added(Object.keys(errors).flatMap((kind) => (kind.startsWith("5") ? [errors[kind] ?? []] : [])), requests.length);

const SAMPLE_MS = 10_000;

/** How much of each step has passed, in seconds: the last one may be under way. The server measures every 10 s. */
export function secondsOf({ times, step_ms: step, asked }: History): number[] {
  return times.map((time) => Math.max(SAMPLE_MS, Math.min(step, asked - time)) / 1000);
}

/** Counts as counts per second. */
export const perSecond = (column: Column, seconds: number[]): Column =>
  column.map((count, index) => (count === null ? null : count / (seconds[index] ?? 1)));

export interface Figure {
  /** Of the last minute, or of the last step where steps are longer; null where nothing was measured. */
  now: number | null;
  spark: Column;
}

export interface Figures {
  /** Requests a second. */
  rate: Figure;
  /** Of the slowest line, in milliseconds. */
  p95: Figure;
  /** A share of the requests. */
  errors: Figure;
}

const MINUTE_MS = 60_000;

/** The figures of an endpoint as a whole. */
export function figuresOf(history: History): Figures {
  const { series, times, step_ms: step } = history;
  const seconds = secondsOf(history);
  const length = times.length;
  const requests = added(series.map((one) => one.requests), length);
  const failed = added(series.map(failures), length);
  const p95 = largest(series.map((one) => one.p95_ms), length);
  const recent = Math.max(1, Math.round(MINUTE_MS / step));
  // The last steps may not be measured yet.
  const end = Math.max(requests.findLastIndex((one) => one !== null), length - 1 - recent) + 1;
  const begin = Math.max(0, end - recent);
  const last = (column: Column) => column.slice(begin, end).filter((one) => one !== null);
  const [asked, slow] = [last(requests), last(p95)];
  const count = sum(asked);
  const passed = sum(seconds.slice(begin, end).filter((_, index) => requests[begin + index] !== null));
  return {
    rate: { now: passed ? count / passed : null, spark: perSecond(requests, seconds) },
    p95: { now: slow.length ? Math.max(...slow) : null, spark: p95 },
    errors: { now: count ? sum(last(failed)) / count : null, spark: shares(failed, requests) },
  };
}

const sum = (numbers: number[]): number => numbers.reduce((total, one) => total + one, 0);
