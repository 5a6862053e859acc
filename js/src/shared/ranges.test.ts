import { expect, test } from "vitest";
import { beside, between, boundsOf, rangeOf } from "./ranges";

const NOW = 1_764_200_000_000;
const HOUR = 3_600_000;

test.each([undefined, "", "1 h", "2-1", "1764200000000-1764100000000"])("%s in the address is the last hour", (text) => {
  expect(rangeOf(text)).toEqual({ key: "1h", length: HOUR, fixed: null });
  expect(boundsOf(rangeOf(text), NOW)).toEqual({});
});

test("a range that ends now moves with the time, and a fixed one stays", () => {
  expect(boundsOf(rangeOf("6h"), NOW)).toEqual({ from: NOW - 6 * HOUR, to: NOW });
  const fixed = between(NOW - 2 * HOUR, NOW - HOUR);
  expect(boundsOf(rangeOf(fixed), NOW)).toEqual({ from: NOW - 2 * HOUR, to: NOW - HOUR });
});

test("earlier and later lead back to now", () => {
  const earlier = beside(rangeOf("1h"), -1, NOW);
  expect(rangeOf(earlier).fixed).toEqual({ from: NOW - 2 * HOUR, to: NOW - HOUR });
  expect(beside(rangeOf(earlier), 1, NOW)).toBe("1h");
});
