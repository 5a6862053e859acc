import { expect, test } from "vitest";
import type { History, Series } from "../../shared/history";
import { busiest, chartsOf, measured } from "./charts";

const NONE = [null, null];
const series = (version: string, requests: number[]): Series => ({
  endpoint_version_name: version,
  requests,
  errors: { "4xx": [0, 10], "5xx": [0, 20] },
  p50_ms: [1, 2],
  p95_ms: [3, 4],
  p99_ms: [5, 6],
  in_hand: [0, 1],
  replicas: [1, 1],
  memory_bytes: [1e6, 2e6],
  cpu_seconds: [5, null],
  batch_rows: NONE,
  first_event_ms: NONE,
});
const HISTORY: History = {
  from: 0,
  to: 20_000,
  step_ms: 10_000,
  times: [0, 10_000],
  series: [series("2", [10, 40]), series("1", [100, 200])],
  marks: [],
  asked: 1e12,
};
const chart = (key: string, chosen: string[]) => chartsOf(HISTORY, chosen).find((one) => one.key === key);
const lines = (key: string, ...chosen: string[]) =>
  Object.fromEntries(chart(key, chosen)?.lines.map((line) => [line.label, line.values]) ?? []);

test("versions are lines of one chart, as rates", () => {
  expect(lines("requests", "Version 1", "Version 2")).toEqual({ "Version 2": [1, 4], "Version 1": [10, 20] });
  expect(lines("latency", "Version 1", "Version 2")).toEqual({ "Version 2": [3, 4], "Version 1": [3, 4] });
  expect(lines("errors", "Version 1", "Version 2")).toEqual({ "Version 2": [0, 0.5], "Version 1": [0, 0.1] });
  expect(lines("cpu", "Version 1")).toEqual({ "Version 1": [0.5, null] });
});

test("a single version shows its quantiles and its errors by status", () => {
  expect(lines("latency", "Version 1")).toEqual({ p50: [1, 2], p95: [3, 4], p99: [5, 6] });
  expect(lines("errors", "Version 1")).toEqual({ "4xx": [0, 1], "5xx": [0, 2] });
});

test("a chart that has nothing to show for any model is left out", () => {
  expect(chart("batches", ["Version 1"])).toBeUndefined();
  expect(chartsOf(HISTORY, []).some(measured)).toBe(false);
});

test("the busiest versions are shown first, in their own order", () => {
  const many = { ...HISTORY, series: Array.from({ length: 9 }, (_, index) => series(String(9 - index), [0, index === 8 ? 500 : index])) };
  expect(busiest(many)).toEqual(["Version 6", "Version 5", "Version 4", "Version 3", "Version 2", "Version 1"]);
});

test("values are shown with the unit of people", () => {
  expect(chart("memory", ["Version 1"])?.show(2e6)).toBe("2.0 MB");
  expect(chart("errors", ["Version 1", "Version 2"])?.show(0.051)).toBe("5.1 %");
  expect(chart("requests", ["Version 1"])?.show(3)).toBe("3");
});
