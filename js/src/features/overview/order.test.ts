import { expect, test } from "vitest";
import type { Overview, Tone } from "../../shared/api";
import { type Column, FIRST, type Row, clicked, inOrder } from "./order";

const row = (registered_model_name: string, tone: Tone, requests: number, rate: number | null): Row => ({
  overview: {
    registered_model_name,
    tone,
    versions: [],
    figures: { requests_per_second: rate, p95_ms: null, error_share: null, spark: [] },
  } as unknown as Overview,
  requests,
  versions: 0,
  replicas: 0,
  changed: null,
});

const ROWS = [row("b10", "ready", 5, 2), row("b9", "ready", 50, null), row("a", "failed", 5, 7)];
const names = (column: Column, descending: boolean) =>
  inOrder(ROWS, { column, descending }).map((one) => one.overview.registered_model_name);

test("what needs a person comes first, and numbers in names count as numbers", () => {
  expect(inOrder(ROWS, FIRST).map((one) => one.overview.registered_model_name)).toEqual(["a", "b9", "b10"]);
  expect(names("name", true)).toEqual(["b10", "b9", "a"]);
});

test("rows without a value come last either way, and equal ones by name", () => {
  expect(names("rate", true)).toEqual(["a", "b10", "b9"]);
  expect(names("rate", false)).toEqual(["b10", "a", "b9"]);
  expect(names("requests", true)).toEqual(["b9", "a", "b10"]);
  expect(names("p95", true)).toEqual(["a", "b9", "b10"]);
});

test("a second click turns the order round", () => {
  const once = clicked(FIRST, "requests");
  expect(once).toEqual({ column: "requests", descending: true });
  expect(clicked(once, "requests").descending).toBe(false);
  expect(clicked(once, "name").descending).toBe(false);
});
