import { expect, test } from "vitest";
import { pathOf } from "./Spark";

test("a small line begins at zero and has a gap where nothing was measured", () => {
  expect(pathOf([0, 10, null, 5, 10])).toBe("M0.0 19.0L20.0 1.0M60.0 10.0L80.0 1.0");
});
