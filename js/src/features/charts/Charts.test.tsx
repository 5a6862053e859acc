import { QueryClientProvider } from "@tanstack/react-query";
import { cleanup, fireEvent, render, screen, within } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";
import { makeClient } from "../../shared/queries";
import { rangeOf } from "../../shared/ranges";
import { reply } from "../../testing/setup";
import { Charts } from "./Charts";

// The drawing itself is looked at in a real browser: jsdom has no canvas.
vi.mock("uplot", () => ({
  default: class {
    data = [[0]];
    setData() {}
    setSize() {}
    setCursor() {}
    valToPos() {}
    redraw() {}
    destroy() {}
  },
}));
vi.stubGlobal("ResizeObserver", class { observe() {} disconnect() {} });

afterEach(cleanup);

const PATH = "/ajax-api/2.0/mlflow/endpoints/get-history";
const NONE = [null, null];
const series = (version: string, requests: (number | null)[]) => ({
  endpoint_version_name: version,
  requests,
  errors: { "4xx": [0, 0], "5xx": [0, 0] },
  p50_ms: NONE, p95_ms: [null, 4], p99_ms: NONE, in_hand: [0, 0], replicas: [1, 1],
  memory_bytes: [1, 1], cpu_seconds: [0, 0], batch_rows: NONE, first_event_ms: NONE,
});

const MARK = { time: 5000, event_type: "VERSION_READY", message: "The version is ready.", endpoint_version_name: "2" };

function show(all: object[]): string[] {
  const ranges: string[] = [];
  reply("GET", PATH, { from: 0, to: 20_000, step_ms: 10_000, times: [0, 10_000], series: all, marks: [MARK], hosts: ["here"] });
  render(
    <QueryClientProvider client={makeClient()}>
      <Charts target={{ registered_model_name: "iris" }} range={rangeOf("1h")} at={0} setRange={(key) => ranges.push(key)} />
    </QueryClientProvider>,
  );
  return ranges;
}

test("behind each chart stands a table of its values, and each version is a line that can be left out", async () => {
  show([series("2", [null, 40]), series("1", [10, 20])]);
  const chart = within(await screen.findByRole("figure", { name: "Requests per second" }));
  const list = () => chart.getAllByRole("listitem").map((one) => one.textContent);
  expect(list()).toEqual(["Version 2 4", "Version 1 2"]);
  fireEvent.click(chart.getByText("Table of requests"));
  const rows = await chart.findAllByRole("row");
  expect(rows.map((row) => [...row.children].slice(1).map((cell) => cell.textContent))).toEqual([
    ["Version 2", "Version 1"],
    ["4", "2"],
    ["–", "1"],
  ]);
  fireEvent.click(screen.getByRole("button", { name: "Version 2" }));
  expect(list()).toEqual(["Version 1 2"]);
  screen.getByRole("figure", { name: "Latency milliseconds" });
  expect(screen.getByRole("slider", { name: "Requests over time" }).getAttribute("aria-valuetext")).toBe("The latest values: Version 1 2");
  screen.getByText(/^1 event in this time/);
  screen.getByText(/Version ready, version 2: The version is ready\./);
});

test("where nothing was measured, the page says so instead of drawing zeros", async () => {
  const ranges = show([series("1", NONE)].map((one) => ({ ...one, errors: {}, p95_ms: NONE, in_hand: NONE, replicas: NONE, memory_bytes: NONE, cpu_seconds: NONE })));
  await screen.findByText("Nothing was measured in this time");
  fireEvent.change(screen.getByRole("combobox", { name: "Time range" }), { target: { value: "7d" } });
  expect(ranges).toEqual(["7d"]);
});
