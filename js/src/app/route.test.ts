import { expect, test } from "vitest";
import { modelAddress, parseRoute, withPlace, withTab } from "./route";

test.each([
  ["#/models/iris", { kind: "model", name: "iris", version: undefined, view: undefined, open: false }],
  ["#/models/a%20b/versions/3?tab=serving&o=1", { kind: "model", name: "a b", version: 3, view: undefined, open: true }],
  ["#/models/a/versions/3?tab=serving&version=2&view=logs", { kind: "model", name: "a", version: 2, view: "logs", open: true }],
  ["#/serving/a%2Fb", { kind: "endpoint", name: "a/b", version: undefined, view: undefined }],
  ["#/serving/a?version=7&view=events", { kind: "endpoint", name: "a", version: 7, view: "events" }],
  ["#/serving/a?version=x", { kind: "endpoint", name: "a", version: undefined, view: undefined }],
  ["#/serving", { kind: "overview" }],
  ["#/models", { kind: "other" }],
  ["#/models/%E0%A4%A", { kind: "model", name: "%E0%A4%A", version: undefined, view: undefined, open: false }],
  ["", { kind: "other" }],
])("%s is about", (hash, route) => expect(parseRoute(hash)).toEqual(route));

test("opening the tab changes nothing else of the address", () => {
  expect(withTab("#/models/iris?workspace=w", true)).toBe("#/models/iris?workspace=w&tab=serving");
  expect(withTab("#/models/iris?tab=serving", false)).toBe("#/models/iris");
  expect(withPlace("#/models/iris?tab=serving&o=1", { version: 7 })).toBe("#/models/iris?tab=serving&o=1&version=7");
  expect(withPlace("#/serving/a?version=7&view=logs", { view: undefined })).toBe("#/serving/a?version=7");
  expect(parseRoute(modelAddress("a b"))).toMatchObject({ name: "a b", open: true });
});
