import { QueryClientProvider } from "@tanstack/react-query";
import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";
import { makeClient } from "../shared/queries";
import { asked, reply } from "../testing/setup";
import { ServingView } from "./ServingView";

const BASE = "/ajax-api/2.0/mlflow/endpoints";

afterEach(cleanup);

function show(permission: string, overview: object | null): void {
  reply("GET", `${BASE}/get-access`, { user: null, auth: false, permission });
  reply("GET", `${BASE}/get-overview`, { overview });
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

test("an endpoint without versions says what will be served", async () => {
  show("MANAGE", {
    registered_model_name: "iris",
    state: "ENDPOINT_STATE_READY",
    state_message: "",
    versions: [],
    stages: {},
    aliases: {},
  });
  await screen.findByText("No active version");
  expect(screen.queryByRole("tab", { name: "Tokens" })).toBeNull();
});
