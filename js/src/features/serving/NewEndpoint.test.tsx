import { QueryClientProvider } from "@tanstack/react-query";
import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";
import { makeClient } from "../../shared/queries";
import { asked, reply } from "../../testing/setup";
import { NewEndpoint } from "./NewEndpoint";

afterEach(cleanup);

const BASE = "/ajax-api/2.0/serving-endpoints";
const fill = (label: string, value: string) => fireEvent.change(screen.getByLabelText(label), { target: { value } });

test("a new endpoint has its rate limits and its request log from the start", async () => {
  reply("GET", "/ajax-api/2.0/mlflow/registered-models/search", { registered_models: [] });
  reply("GET", "/ajax-api/2.0/mlflow/model-versions/search", { model_versions: [] });
  reply("POST", BASE, {});
  const created: string[] = [];
  render(
    <QueryClientProvider client={makeClient()}>
      <NewEndpoint created={(name) => created.push(name)} />
    </QueryClientProvider>,
  );
  fill("Name of the endpoint", "flowers");
  fill("Registered model", "iris");
  fill("Version, @alias or stage", "@champion");
  fill("Calls a minute of each user", "x");
  screen.getByText("A limit is a whole number.");
  fill("Calls a minute of each user", "60");
  fireEvent.click(screen.getByText("Request log"));
  fireEvent.click(screen.getByLabelText("Log requests and answers"));
  screen.getByText("Log requests and answers: off → on.");
  fireEvent.click(screen.getByText("Create"));
  await expect.poll(() => created).toEqual(["flowers"]);
  const sent = asked.find((one) => one.startsWith("POST")) ?? "";
  expect(sent).toContain('"rate_limits":[{"key":"user","calls":60,"renewal_period":"minute"}]');
  expect(sent).toContain('"request_log":{"enabled":true}');
  expect(sent).toContain('"name":"iris-champion"');
});
