import { expect, test } from "vitest";
import { modelAddress, parseRoute, withTab } from "./route";

test.each([
  ["#/models/iris", { kind: "model", name: "iris", version: undefined, open: false }],
  ["#/models/a%20b/versions/3?tab=serving&o=1", { kind: "model", name: "a b", version: 3, open: true }],
  ["#/serving/a%2Fb", { kind: "endpoint", name: "a/b" }],
  ["#/serving", { kind: "overview" }],
  ["#/models", { kind: "other" }],
  ["#/models/%E0%A4%A", { kind: "model", name: "%E0%A4%A", version: undefined, open: false }],
  ["", { kind: "other" }],
])("%s is about", (hash, route) => expect(parseRoute(hash)).toEqual(route));

test("opening the tab changes nothing else of the address", () => {
  expect(withTab("#/models/iris?workspace=w", true)).toBe("#/models/iris?workspace=w&tab=serving");
  expect(withTab("#/models/iris?tab=serving", false)).toBe("#/models/iris");
  expect(parseRoute(modelAddress("a b"))).toMatchObject({ name: "a b", open: true });
});
