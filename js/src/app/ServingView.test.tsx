import { QueryClientProvider } from "@tanstack/react-query";
import { cleanup, fireEvent, render, screen, within } from "@testing-library/react";
import { useState } from "react";
import { afterEach, expect, test } from "vitest";
import { makeClient } from "../shared/queries";
import { asked, reply } from "../testing/setup";
import type { Place } from "./route";
import { ServingView } from "./ServingView";

const BASE = "/ajax-api/2.0/mlflow/endpoints";

afterEach(cleanup);

function show(permission: string, overview: object | null, user: string | null = null): void {
  reply("GET", `${BASE}/get-access`, { user, auth: user !== null, tokens: user !== null, permission });
  reply("GET", `${BASE}/get-overview`, { overview });
  open();
}

const HISTORY = { from: 0, to: 0, step_ms: 10_000, times: [], series: [], marks: [] };

function open(version?: number): void {
  reply("GET", `${BASE}/get-history`, HISTORY);
  render(
    <QueryClientProvider client={makeClient()}>
      <Page version={version} />
    </QueryClientProvider>,
  );
}

/** Keeps the place that the page's address would keep. */
function Page({ version }: { version: number | undefined }) {
  const [place, setPlace] = useState<Place>({ version, view: undefined, range: undefined });
  return <ServingView name="iris" place={place} go={(change) => setPlace((before) => ({ ...before, ...change }))} />;
}

test("a model that is not served can be enabled by whoever may manage it", async () => {
  show("MANAGE", null);
  reply("POST", `${BASE}/enable`, {});
  const button = await screen.findByRole("button", { name: "Enable Serving" });
  await screen.findByText(/Each version that is not archived/);
  await expect.poll(() => button.getAttribute("aria-disabled")).toBeNull();
  fireEvent.click(button);
  await expect.poll(() => asked).toContain(`POST ${BASE}/enable {"registered_model_name":"iris"}`);
});

test("whoever may only read is told why nothing can be enabled, and nothing is sent", async () => {
  show("READ", null);
  await screen.findByText("You need MANAGE permission on this registered model.");
  fireEvent.click(screen.getByRole("button", { name: "Enable Serving" }));
  expect(asked.filter((one) => one.startsWith("POST"))).toEqual([]);
});

const EMPTY = {
  registered_model_name: "iris",
  label: "No versions",
  tone: "idle",
  serving_state: "EMPTY",
  state_message: "",
  latest_message: "",
  reason: null,
  latest: null,
  inactive: {},
  versions: [],
  stages: {},
  aliases: {},
};

test.each([
  ["READ", 0],
  ["MANAGE", 1],
])("with %s the page has charts, and %i tabs of requests", async (permission, count) => {
  show(permission, EMPTY);
  await screen.findByRole("tab", { name: "Charts" });
  const stop = screen.getByRole("button", { name: "Stop" });
  await expect.poll(() => stop.title).not.toMatch(/^Checking/);
  await expect.poll(() => screen.queryAllByRole("tab", { name: "Requests" }).length).toBe(count);
});

test("an endpoint without versions says what will be served", async () => {
  show("MANAGE", EMPTY);
  await screen.findByText("No active version");
  expect(screen.queryByRole("tab", { name: "Tokens" })).toBeNull();
});

test("an endpoint whose versions are not known yet says that it starts, and nothing else", async () => {
  const starting = { label: "Starting", tone: "busy", serving_state: "STARTING", state_message: "Waiting for the controller." };
  show("MANAGE", { ...EMPTY, ...starting });
  await screen.findByRole("heading", { name: "Starting…" });
  expect(screen.queryByText("No active version")).toBeNull();
});

test("a version that is not served shows no other version's client", async () => {
  reply("GET", `${BASE}/get-access`, { user: null, auth: false, tokens: false, permission: "MANAGE" });
  reply("GET", `${BASE}/get-overview`, { overview: { ...EMPTY, inactive: { "2": "archived" } } });
  open(2);
  await screen.findByText("Version 2 is not served: it is archived.");
  screen.getByText("Not served, because archived: version 2.");
  expect(screen.queryByLabelText("Request (JSON)")).toBeNull();
});

const VERSION = {
  version: 1,
  label: "Ready",
  tone: "ready",
  message: "",
  note: "",
  environment: "",
  placement: "",
  libraries: [],
  since: 0,
  stage: "None",
  aliases: [],
  replicas: 1,
  ready_replicas: 1,
  asleep: false,
  retry_at: null,
  sample: "signature",
  fetched: true,
  build_log: false,
  requests: 0,
};

test("a typed request survives another version, and no program holds half of it", async () => {
  const served = { label: "Ready", tone: "ready", serving_state: "READY", versions: [{ ...VERSION, version: 2 }, VERSION] };
  reply("GET", `${BASE}/get-access`, { user: null, auth: false, tokens: false, permission: "MANAGE" });
  reply("GET", `${BASE}/get-overview`, { overview: { ...EMPTY, ...served, latest: "2" } });
  reply("GET", `${BASE}/get-sample-request`, { sample: { body: '{"inputs": [null]}', source: "signature" } });
  open(2);
  const area = async () => (await screen.findByLabelText("Request (JSON)")) as HTMLTextAreaElement;
  fireEvent.change(await area(), { target: { value: '{"inputs": [' } });
  cleanup();
  open(1);
  expect((await area()).value).toBe('{"inputs": [');
  screen.getByText(/^Not JSON/);
  fireEvent.click(screen.getByRole("tab", { name: "Python" }));
  expect((await screen.findByRole("region", { name: "Text of the Python program" })).textContent).toContain("[None]");
  screen.getByText(/Your request is not valid JSON/);
  fireEvent.click(screen.getByRole("tab", { name: "Browser" }));
  fireEvent.click(screen.getByRole("button", { name: "Load Example" }));
  expect(JSON.parse((await area()).value)).toEqual({ inputs: [null] });
  expect(screen.getByRole("button", { name: "Send Request" }).getAttribute("aria-disabled")).toBeNull();
});

test("a degraded endpoint says what failed, when it is tried again and what latest means", async () => {
  const failed = { ...VERSION, version: 2, label: "Failed", tone: "failed", message: "no disk" };
  show("MANAGE", {
    ...EMPTY,
    label: "Degraded",
    tone: "degraded",
    serving_state: "DEGRADED",
    state_message: "1 of 2 versions failed. Version 2: no disk",
    latest_message: "latest stays on version 1: version 2 has failed.",
    reason: { endpoint_version_name: "2", since: 0, retry_at: Date.now() + 60_000 },
    versions: [failed, VERSION],
    latest: "1",
  });
  reply("GET", `${BASE}/get-version-logs`, { logs: "why", offset: 0, next_offset: 3, total_bytes: 3 });
  reply("POST", `${BASE}/enable`, {});
  const state = within(await screen.findByRole("region", { name: "State of serving" }));
  state.getByText(/1 of 2 versions failed/);
  state.getByText(/Next try in (59 s|1 min 0 s)\./);
  state.getByText("latest stays on version 1: version 2 has failed.");
  const retry = state.getByRole("button", { name: "Try Now" });
  await expect.poll(() => retry.getAttribute("aria-disabled")).toBeNull();
  fireEvent.click(retry);
  await expect.poll(() => asked).toContain(`POST ${BASE}/enable {"registered_model_name":"iris"}`);
});

test("tokens are offered where the server asks who one is", async () => {
  show("READ", EMPTY, "ann");
  await screen.findByRole("tab", { name: "Tokens" });
  expect(screen.getByRole("button", { name: "Stop" }).getAttribute("aria-disabled")).toBe("true");
});

test("with an auth app that serving does not know, the tab says that there are no tokens and no admins", async () => {
  reply("GET", `${BASE}/get-access`, { user: null, auth: true, tokens: false, permission: "READ" });
  reply("GET", `${BASE}/get-overview`, { overview: EMPTY });
  open();
  fireEvent.click(await screen.findByRole("tab", { name: "Tokens" }));
  const said = (await screen.findByText(/auth app tells Serving of no users/)).textContent;
  expect(said).toContain("there are no tokens");
  expect(said).toContain("there are no admins");
  expect(asked).not.toContain("GET /ajax-api/2.0/token/list");
});

test("while the server fails, what was known stays on the page, with what is wrong", async () => {
  show("MANAGE", EMPTY);
  await screen.findByText("No active version");
  reply("GET", `${BASE}/get-overview`, { error_code: "TEMPORARILY_UNAVAILABLE", message: "The database is away." }, 503);
  const alert = await screen.findByRole("alert", {}, { timeout: 5000 });
  expect(alert.textContent).toMatch(/^Not up to date: The database is away. Trying again. What is shown is \d+ s old.$/);
  screen.getByText("No active version");
  reply("GET", `${BASE}/get-overview`, { overview: EMPTY });
  await expect.poll(() => screen.queryByRole("alert"), { timeout: 8000 }).toBeNull();
}, 20_000);

test("a model that one may not see is told of in the server's words", async () => {
  reply("GET", `${BASE}/get-access`, { user: "ann", auth: true, tokens: true, permission: "NONE" });
  reply("GET", `${BASE}/get-overview`, { error_code: "RESOURCE_DOES_NOT_EXIST", message: "No such model." }, 404);
  open();
  expect((await screen.findByRole("alert")).textContent).toBe("No such model.");
});
