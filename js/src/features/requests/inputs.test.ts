import { expect, test } from "vitest";
import { indexTold, rangeTold, sharesTold } from "./inputs";

test.each([
  [null, "–"],
  [0.05, "0.05, little"],
  [0.25, "0.25, some"],
  [1.5, "1.50, much"],
])("the index %j is told as %s", (psi, told) => expect(indexTold(psi)).toBe(told));

test("ranges are short, and shares stand beside those of the example", () => {
  expect(rangeTold(0.123456, 12.5)).toBe("0.1235 to 12.5");
  expect(rangeTold(null, null)).toBe("–");
  const column = { name: "age", type: "number", null_share: 0, baseline_null_share: 0, minimum: 1, maximum: 2, baseline_minimum: 1, baseline_maximum: 2, psi: null };
  expect(sharesTold({ ...column, bins: ["< 41", "≥ 41"], shares: [0.22, 0.78], baseline_shares: [0.5, 0.5] })).toBe(
    "< 41: 22.0 %, example 50.0 %; ≥ 41: 78.0 %, example 50.0 %",
  );
});
