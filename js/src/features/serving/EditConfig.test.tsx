import { QueryClientProvider } from "@tanstack/react-query";
import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";
import { makeClient } from "../../shared/queries";
import type { ServingEndpoint } from "../../shared/servingApi";
import { asked, reply } from "../../testing/setup";
import { EditConfig } from "./EditConfig";
import { ServingTable } from "./ServingTable";

afterEach(cleanup);

const BASE = "/ajax-api/2.0/serving-endpoints";
const entity = (name: string) => ({
  name,
  entity_name: "iris",
  entity_version: "1",
  workload_size: "Small",
  scale_to_zero_enabled: false,
  state: { deployment: "DEPLOYMENT_READY", deployment_state_message: "" },
});
const ENDPOINT: ServingEndpoint = {
  name: "flowers",
  id: "1",
  creation_timestamp: 0,
  last_updated_timestamp: 0,
  state: { ready: "READY", config_update: "NOT_UPDATING" },
  config: {
    served_entities: [entity("a"), entity("b")],
    traffic_config: { routes: [{ served_model_name: "a", traffic_percentage: 90 }, { served_model_name: "b", traffic_percentage: 10 }] },
  },
  description: "",
  permission_level: "CAN_MANAGE",
};

function show(endpoint: ServingEndpoint): void {
  reply("GET", "/ajax-api/2.0/mlflow/registered-models/search", { registered_models: [{ name: "iris" }] });
  reply("GET", "/ajax-api/2.0/mlflow/model-versions/search", { model_versions: [{ version: "1", aliases: ["champion"] }] });
  render(
    <QueryClientProvider client={makeClient()}>
      <EditConfig endpoint={endpoint} />
    </QueryClientProvider>,
  );
}

test("a border that the arrow keys move is a change that is said before it is applied", async () => {
  reply("PUT", `${BASE}/flowers/config`, ENDPOINT);
  show(ENDPOINT);
  expect(screen.getByRole("button", { name: "Apply" }).getAttribute("aria-disabled")).toBe("true");
  fireEvent.keyDown(screen.getByRole("slider"), { key: "PageDown" });
  fireEvent.keyDown(screen.getByRole("slider"), { key: "ArrowRight" });
  screen.getByText("a: traffic 90 % → 81 %.");
  screen.getByText("b: traffic 10 % → 19 %.");
  fireEvent.click(screen.getByRole("button", { name: "Apply" }));
  await screen.findByText(/^The update has begun/);
  const sent = asked.find((one) => one.startsWith("PUT")) ?? "";
  expect(sent).toContain('{"served_model_name":"a","traffic_percentage":81}');
  expect(sent).not.toContain("DEPLOYMENT_READY");
});

test("during an update nothing is applied, and the draft stays", async () => {
  const updating = { ...ENDPOINT, name: "busy", state: { ready: "READY", config_update: "IN_PROGRESS" } };
  show(updating);
  fireEvent.change(screen.getAllByLabelText("Traffic, percent")[1] as HTMLElement, { target: { value: "50" } });
  screen.getByText("An update is under way. Wait for its end, or cancel it.");
  fireEvent.click(screen.getByRole("button", { name: "Apply" }));
  cleanup();
  show({ ...updating, state: ENDPOINT.state });
  screen.getByText("a: traffic 90 % → 50 %.");
  expect(asked.filter((one) => one.startsWith("PUT"))).toEqual([]);
});

test("the list shows what needs a person first, and finds endpoints by their models", async () => {
  const failed = { ...ENDPOINT, id: "2", name: "zinnia", state: { ready: "NOT_READY", config_update: "UPDATE_FAILED", config_update_message: "no disk" } };
  reply("GET", BASE, { endpoints: [ENDPOINT, failed] });
  const list = (wanted: string) => (
    <QueryClientProvider client={makeClient()}>
      <ServingTable address={(name) => name} wanted={wanted} />
    </QueryClientProvider>
  );
  const { rerender } = render(list("iris"));
  await screen.findByText("no disk");
  expect(screen.getAllByRole("link").map((link) => link.textContent)).toEqual(["zinnia", "flowers"]);
  rerender(list("rose"));
  await screen.findByText("No serving endpoint matches.");
});

test("limits on calls are saved apart from the configuration, and an emptied one ends", async () => {
  reply("PUT", `${BASE}/flowers/rate-limits`, { rate_limits: [] });
  show({ ...ENDPOINT, rate_limits: [{ key: "endpoint", calls: 100, renewal_period: "minute" }] });
  const all: HTMLInputElement = screen.getByLabelText("Calls a minute, all callers together");
  expect(all.value).toBe("100");
  fireEvent.change(screen.getByLabelText("Calls a minute of each user"), { target: { value: "1.5" } });
  screen.getByText("A limit is a whole number.");
  fireEvent.change(screen.getByLabelText("Calls a minute of each user"), { target: { value: "5" } });
  fireEvent.change(all, { target: { value: "" } });
  fireEvent.click(screen.getByRole("button", { name: "Save Limits" }));
  await screen.findByText("Saved: the limits hold now.");
  expect(asked).toContain(`PUT ${BASE}/flowers/rate-limits {"rate_limits":[{"key":"user","calls":5,"renewal_period":"minute"}]}`);
});
