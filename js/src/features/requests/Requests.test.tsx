import { QueryClientProvider } from "@tanstack/react-query";
import { cleanup, fireEvent, render, screen, within } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";
import { makeClient } from "../../shared/queries";
import { rangeOf } from "../../shared/ranges";
import { asked, reply } from "../../testing/setup";
import { Requests } from "./Requests";

afterEach(cleanup);

const BASE = "/ajax-api/2.0/mlflow/endpoints";
const ONE = { request_id: "a1", client_request_id: null, request_time: 0, status_code: 200, execution_duration_ms: 4, endpoint_version_name: "1", requester: "ann" };
const LINES = [
  { label: "Version 2", name: "2", path: "/model/iris/2/invocations" },
  { label: "Version 1", name: "1", path: "/model/iris/1/invocations" },
];

const show = () =>
  render(
    <QueryClientProvider client={makeClient()}>
      <Requests target={{ registered_model_name: "iris" }} lines={LINES} range={rangeOf("1h")} setRange={() => undefined} configure={() => asked.push("configure")} />
    </QueryClientProvider>,
  );

test("a logged request is opened, sent again to another version, and the answers are compared", async () => {
  reply("GET", `${BASE}/list-requests`, { enabled: true, requests: [ONE, { ...ONE, request_id: "a2", status_code: 503 }] });
  reply("GET", `${BASE}/get-request`, { ...ONE, request: '{"inputs":[1,2]}', response: '{"predictions": [7, 8]}', logging_error_codes: [] });
  reply("POST", "/model/iris/2/invocations", { predictions: [7, 9] });
  show();
  const table = within(await screen.findByRole("table", { name: "Logged requests" }));
  expect(table.getAllByRole("row").slice(1).map((row) => within(row).getAllByRole("cell").map((cell) => cell.textContent).slice(1, 5))).toEqual([
    ["200", "4 ms", "Version 1", "ann"],
    ["503", "4 ms", "Version 1", "ann"],
  ]);
  const [first] = table.getAllByRole("button");
  if (!first) throw new Error("the table has no row");
  first.focus();
  fireEvent.click(first);
  const opened = within(await screen.findByRole("region", { name: "Logged request" }));
  const to: HTMLSelectElement = await opened.findByLabelText("to");
  expect(to.value).toBe("1");
  fireEvent.change(to, { target: { value: "2" } });
  fireEvent.click(opened.getByRole("button", { name: "Send Again" }));
  await opened.findByText("1 of 2 predictions differ.");
  expect(asked).toContain('POST /model/iris/2/invocations {"inputs":[1,2]}');
  fireEvent.click(opened.getByRole("button", { name: "Close" }));
  expect(document.activeElement).toBe(first);
});

test("what the log left out cannot be sent again, and the page says what is missing and why", async () => {
  reply("GET", `${BASE}/list-requests`, { enabled: true, requests: [ONE] });
  reply("GET", `${BASE}/get-request`, { ...ONE, request: null, response: null, logging_error_codes: ["MAX_REQUEST_SIZE_EXCEEDED"] });
  show();
  fireEvent.click(within(await screen.findByRole("table", { name: "Logged requests" })).getByRole("button"));
  await screen.findByText("Too large: the request is longer than max_payload_bytes.");
  screen.getByText("Redacted: the log holds no answers.");
  screen.getByText("The request cannot be sent again, as the log has no body.");
  expect(screen.queryByRole("button", { name: "Send Again" })).toBeNull();
});

test("filters are for the server, and a log without a match says so", async () => {
  reply("GET", `${BASE}/list-requests`, { enabled: true, requests: [] });
  show();
  await screen.findByText(/^No request was logged in this time\./);
  const before = asked.length;
  fireEvent.change(screen.getByLabelText("Status code"), { target: { value: "5xx" } });
  fireEvent.change(screen.getByLabelText("Answered by"), { target: { value: "2" } });
  fireEvent.change(screen.getByLabelText("Took at least (ms)"), { target: { value: "20" } });
  await screen.findByText(/^No logged request matches\./);
  await expect.poll(() => asked.length).toBeGreaterThan(before);
});

test("an endpoint that logs no requests says so, and leads to the form that turns the log on", async () => {
  reply("GET", `${BASE}/list-requests`, { enabled: false, requests: [] });
  show();
  await screen.findByText(/Requests are not logged\./);
  fireEvent.click(screen.getByRole("button", { name: "Set Up the Log" }));
  expect(asked.at(-1)).toBe("configure");
});

test("a log that cannot be read is told in the server's words", async () => {
  reply("GET", `${BASE}/list-requests`, { error_code: "TEMPORARILY_UNAVAILABLE", message: "The request log cannot be read now." }, 503);
  show();
  expect((await screen.findByRole("alert")).textContent).toBe("The request log cannot be read now.");
});

test("drift is asked for when somebody opens the table, and what differs much is said", async () => {
  const age = { name: "age", type: "number", null_share: 0.01, baseline_null_share: 0, minimum: 17, maximum: 99, baseline_minimum: 18, baseline_maximum: 80 };
  reply("GET", `${BASE}/list-requests`, { enabled: true, requests: [] });
  reply("GET", `${BASE}/get-drift`, {
    enabled: true,
    rows: 5120,
    baseline: "input_example",
    columns: [{ ...age, psi: 0.31, bins: ["< 41", "≥ 41"], shares: [0.22, 0.78], baseline_shares: [0.5, 0.5] }],
  });
  show();
  fireEvent.click(await screen.findByText("Drift of the inputs"));
  const row = within(await screen.findByRole("table", { name: "Drift of the inputs" })).getByRole("row", { name: /^age/ });
  expect(row.textContent).toContain("0.31, much");
  expect(row.textContent).toContain("17 to 99example 18 to 80");
  within(row).getByRole("img", { name: /≥ 41: 78.0 %, example 50.0 %/ });
});
