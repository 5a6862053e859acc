import { expect, test } from "vitest";
import { type Sample, quantile, recent, withSample } from "./figures";

const BOUNDS = [0.001, 0.01, 0.1];
const counted = (requests: number, errors: number, durations: number[]) => ({ "1": { requests, errors, durations } });
const before: Sample = { at: 1000, counted: counted(10, 1, [10, 0, 0, 0]) };
const after: Sample = { at: 11_000, counted: counted(110, 6, [10, 100, 0, 0]) };

test("the last minute is the difference between two polls, whatever came before", () => {
  expect(recent([before, after], "1", BOUNDS)).toEqual({ rate: 10, errors: 0.05, p95: expect.closeTo(9.55) });
});

test("without a second poll, or without a request between, nothing is claimed", () => {
  expect(recent([before], "1", BOUNDS)).toBeNull();
  expect(recent([before, after], "2", BOUNDS)).toBeNull();
  expect(recent([before, { ...before, at: 3000 }], "1", BOUNDS)).toEqual({ rate: 0, errors: null, p95: null });
});

test("a server that counts anew is no negative rate", () => {
  expect(recent([after, { ...before, at: 20_000 }], "1", BOUNDS)).toBeNull();
});

test("a version that appeared later counts from then", () => {
  expect(recent([{ at: 0, counted: {} }, before, after], "1", BOUNDS)?.rate).toBe(10);
});

test("samples older than a minute are dropped, and a poll counts once", () => {
  const samples = withSample([before, after], { ...after, at: 62_000 });
  expect(samples.map((one) => one.at)).toEqual([11_000, 62_000]);
  expect(withSample(samples, { ...after, at: 62_000 })).toEqual(samples);
});

test.each([
  [[0, 0, 0, 0], null],
  [[], null],
  [[100, 0, 0, 0], 0.95],
  [[50, 0, 50, 0], 91],
  [[0, 0, 0, 7], 100],
])("of %j the p95 is %s ms", (counts, expected) => {
  const found = quantile(counts, BOUNDS, 0.95);
  if (expected === null) expect(found).toBeNull();
  else expect(found).toBeCloseTo(expected);
});
