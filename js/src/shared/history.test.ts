import { expect, test } from "vitest";
import { type History, type Series, added, failures, figuresOf, largest, lineName, perSecond, secondsOf, shares } from "./history";

const series = (version: string, requests: Series["requests"], failed: Series["requests"], p95: Series["requests"]) =>
  ({ endpoint_version_name: version, requests, errors: { "5xx": failed }, p95_ms: p95 }) as unknown as Series;
const history = (step_ms: number, all: Series[]): History => ({
  from: 0,
  to: 0,
  step_ms,
  times: (all[0]?.requests ?? []).map((_, index) => index * step_ms),
  series: all,
  marks: [],
  asked: 1e12,
});

test("columns are added and compared where something was measured, and nowhere else", () => {
  const columns = [
    [1, null, 3],
    [10, null, null],
  ];
  expect(added(columns, 3)).toEqual([11, null, 3]);
  expect(largest(columns, 3)).toEqual([10, null, 3]);
  expect(shares([1, null, 0], [4, null, 0])).toEqual([0.25, null, null]);
});

test("the figures are those of the last minute, over all versions", () => {
  const quiet = Array<number>(94).fill(0);
  const found = figuresOf(
    history(10_000, [
      series("1", [...quiet, 10, 10, 10, 10, 10, 10], [...quiet, 0, 0, 0, 3, 0, 0], [...quiet, 4, 4, 4, 4, 9, 4]),
      series("2", [...quiet, 0, 0, 0, 0, 0, 60], [...quiet, 0, 0, 0, 0, 0, 3], [...quiet, null, null, null, null, null, 7] as number[]),
    ]),
  );
  expect(found.rate.now).toBe(2);
  expect(found.errors.now).toBeCloseTo(6 / 120);
  expect(found.p95.now).toBe(9);
});

test("a step that is not measured yet does not hide the one before", () => {
  expect(figuresOf(history(60_000, [series("1", [60, 120, null], [0, 0, null], [1, 2, null])])).rate.now).toBe(2);
});

test("nothing is claimed where nothing was measured, or where nobody asked", () => {
  const none = figuresOf(history(10_000, [series("1", [null, null], [null, null], [null, null])]));
  expect([none.rate.now, none.p95.now, none.errors.now]).toEqual([null, null, null]);
  const quiet = figuresOf(history(10_000, [series("1", [0, 0], [0, 0], [null, null])]));
  expect([quiet.rate.now, quiet.p95.now, quiet.errors.now]).toEqual([0, null, null]);
  expect(figuresOf(history(10_000, [])).rate.now).toBeNull();
});

test("figures of an hour in which the server was away are not those of now", () => {
  const gone = Array<null>(50).fill(null);
  expect(figuresOf(history(10_000, [series("1", [600, ...gone], [0, ...gone], [1, ...gone])])).rate.now).toBeNull();
});

test("a step that is under way counts for as long as it has lasted", () => {
  const asked = { ...history(300_000, [series("1", [600, 60], [0, 0], [4, 4])]), asked: 330_000 };
  expect(secondsOf(asked)).toEqual([300, 30]);
  expect(perSecond([600, null], secondsOf(asked))).toEqual([2, null]);
  expect(figuresOf(asked).rate).toEqual({ now: 2, spark: [2, 2] });
  expect(secondsOf({ ...asked, asked: 300_001 })).toEqual([300, 10]);
});

test("all statuses from 500 on are failures", () => {
  const errors = { "4xx": [1], "5xx": [2], "503": [4], "429": [8] };
  expect(failures({ ...series("1", [9], [], []), errors })).toEqual([6]);
});

test("a line has the name of its version or entity", () => {
  expect(lineName(series("7", [], [], []))).toBe("Version 7");
  expect(lineName({ ...series("7", [], [], []), served_entity_name: "present" })).toBe("present");
});
