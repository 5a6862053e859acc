import { QueryClientProvider } from "@tanstack/react-query";
import { cleanup, fireEvent, render, screen, within } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";
import { makeClient } from "../../shared/queries";
import { asked, reply } from "../../testing/setup";
import { ShadowPanel } from "./ShadowPanel";

afterEach(cleanup);

const BASE = "/ajax-api/2.0/serving-endpoints/flowers/shadow";
const AGREEMENT = {
  served_model_name: "next",
  percentage: 50,
  requests: 10,
  equal: 6,
  within_tolerance: 1,
  differs: 2,
  errors: 1,
  dropped: 0,
  latency: { primary: { p50_ms: 4, p95_ms: 9 }, shadow: { p50_ms: 5, p95_ms: null } },
};
const PAIR = {
  request_id: "r1",
  request_time: 0,
  served_model_name: "present",
  shadow_model_name: "next",
  request: '{"inputs":[1]}',
  response: '{"predictions":[1,2]}',
  shadow_response: '{"predictions":[1,3]}',
};

const show = (manages: boolean) =>
  render(
    <QueryClientProvider client={makeClient()}>
      <ShadowPanel name="flowers" manages={manages} />
    </QueryClientProvider>,
  );

test("latency stands side by side, and answers that differ are read when somebody asks for them", async () => {
  reply("GET", BASE, AGREEMENT);
  reply("GET", `${BASE}/differences`, { differences: [PAIR, { ...PAIR, request_id: "r2", response: null }] });
  show(true);
  const rows = within(await screen.findByRole("table", { name: "Latency" })).getAllByRole("row");
  expect(rows.map((row) => row.textContent)).toEqual(["Latencyp50p95", "Answers to callers4.0 ms9.0 ms", "Shadow next5.0 ms–"]);
  expect(asked).not.toContain(`GET ${BASE}/differences`);
  fireEvent.click(screen.getByText("Last answers that differ"));
  fireEvent.click(await screen.findByText(/1 of 2 predictions differ\./));
  expect((await screen.findByRole("region", { name: "Answer of the shadow next" })).textContent).toContain("[1, 3]");
  expect(screen.getByRole("region", { name: "Answer of present" }).textContent).toContain("[1, 2]");
});

test("who may only query sees the agreement, and no answers", async () => {
  reply("GET", BASE, AGREEMENT);
  show(false);
  await screen.findByText(/of 10 compared/);
  expect(screen.queryByText("Last answers that differ")).toBeNull();
});
