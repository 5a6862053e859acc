import { expect, test } from "vitest";
import { pathOf, sinceMeasured } from "./Spark";

test("a small line begins at zero and has a gap where nothing was measured", () => {
  expect(pathOf([0, 10, null, 5, 10])).toBe("M0.0 19.0L20.0 1.0M60.0 10.0L80.0 1.0");
});

test("steps before the first measurement are left out, but for a few", () => {
  const nothing = (count: number): null[] => Array.from({ length: count }, () => null);
  expect(sinceMeasured([...nothing(10), 1, null, ...Array.from({ length: 18 }, () => 2)])).toHaveLength(20);
  expect(sinceMeasured([...nothing(28), 1, 2])).toEqual([...nothing(6), 1, 2]);
  expect(sinceMeasured([1, 2])).toEqual([1, 2]);
  expect(sinceMeasured(nothing(30))).toHaveLength(30);
});
