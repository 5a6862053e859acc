import { QueryClientProvider } from "@tanstack/react-query";
import { cleanup, fireEvent, render, screen, waitFor } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";
import { makeClient } from "../../shared/queries";
import type { ServingEndpoint } from "../../shared/servingApi";
import { asked, reply } from "../../testing/setup";
import { ServingHeader } from "./ServingHeader";

afterEach(cleanup);

const BASE = "/ajax-api/2.0/serving-endpoints/flowers";
const config = (message: string) => ({
  served_entities: [
    {
      name: "a",
      entity_name: "iris",
      entity_version: "1",
      state: { deployment: "DEPLOYMENT_READY", deployment_state_message: message },
    },
  ],
});
const ENDPOINT: ServingEndpoint = {
  name: "flowers",
  id: "1",
  creation_timestamp: 0,
  last_updated_timestamp: 0,
  state: { ready: "READY", config_update: "NOT_UPDATING" },
  config: config(""),
  description: "",
  permission_level: "CAN_MANAGE",
};

function show(endpoint: Partial<ServingEndpoint>): void {
  render(
    <QueryClientProvider client={makeClient()}>
      <ServingHeader endpoint={{ ...ENDPOINT, ...endpoint }} deleted={() => undefined} />
    </QueryClientProvider>,
  );
}

const names = () => screen.getAllByRole("button").map((one) => one.textContent);

test("an endpoint that is well has nothing to wake and nothing to cancel", () => {
  show({});
  expect(names()).toEqual(["Delete"]);
});

test("an update under way is canceled", async () => {
  reply("POST", `${BASE}/cancel-update`, ENDPOINT);
  show({ pending_config: config(""), state: { ready: "READY", config_update: "IN_PROGRESS" } });
  fireEvent.click(screen.getByRole("button", { name: "Cancel Update" }));
  await waitFor(() => expect(asked).toContain(`POST ${BASE}/cancel-update {}`));
});

test("who may not manage the endpoint cancels nothing", () => {
  show({ pending_config: config(""), permission_level: "CAN_QUERY" });
  fireEvent.click(screen.getByRole("button", { name: "Cancel Update" }));
  expect(asked.filter((one) => one.includes("cancel-update"))).toEqual([]);
});

test("an update that was canceled is no failure", () => {
  show({ state: { ready: "READY", config_update: "UPDATE_CANCELED", config_update_message: "The update was canceled by ada." } });
  screen.getByText("The update was canceled by ada.");
  expect(screen.queryByText(/failed/)).toBeNull();
});

test("entities that sleep are woken, by callers too", async () => {
  reply("POST", `${BASE}/prewarm`, {});
  show({ config: config("Scaled to zero"), permission_level: "CAN_QUERY" });
  fireEvent.click(screen.getByRole("button", { name: "Wake" }));
  await waitFor(() => expect(asked).toContain(`POST ${BASE}/prewarm {}`));
});
