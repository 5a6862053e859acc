import { QueryClientProvider } from "@tanstack/react-query";
import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";
import { makeClient } from "../shared/queries";
import { asked, reply } from "../testing/setup";
import { ServingView } from "./ServingView";

const BASE = "/ajax-api/2.0/mlflow/endpoints";

afterEach(cleanup);

function show(permission: string, overview: object | null, user: string | null = null): void {
  reply("GET", `${BASE}/get-access`, { user, auth: user !== null, tokens: user !== null, permission });
  reply("GET", `${BASE}/get-overview`, { overview });
  open();
}

function open(): void {
  render(
    <QueryClientProvider client={makeClient()}>
      <ServingView name="iris" version={undefined} />
    </QueryClientProvider>,
  );
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
  label: "Ready",
  tone: "ready",
  state_message: "",
  versions: [],
  stages: {},
  aliases: {},
};

test("an endpoint without versions says what will be served", async () => {
  show("MANAGE", EMPTY);
  await screen.findByText("No active version");
  expect(screen.queryByRole("tab", { name: "Tokens" })).toBeNull();
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
  expect(alert.textContent).toBe("Not up to date: The database is away. Trying again.");
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
