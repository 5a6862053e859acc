import { QueryClientProvider } from "@tanstack/react-query";
import { cleanup, fireEvent, render, screen, within } from "@testing-library/react";
import { useState } from "react";
import { afterEach, expect, test } from "vitest";
import { makeClient } from "../../shared/queries";
import { reply } from "../../testing/setup";
import { OverviewTable } from "./OverviewTable";

afterEach(cleanup);

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
  replicas: 2,
  ready_replicas: 1,
  asleep: false,
  sample: null,
  fetched: true,
  build_log: false,
  retry_at: null,
  requests: 0,
  memory_bytes: 0,
  last_request: null,
};
const ENDPOINT = {
  registered_model_name: "iris",
  label: "Ready",
  tone: "ready",
  state_message: "",
  serving_state: "READY",
  latest_message: "",
  reason: null,
  latest: "1",
  inactive: {},
  versions: [VERSION],
  stages: {},
  aliases: {},
  memory_bytes: 0,
  last_request: null,
};
/** Rate, p95, errors and the line, before anything was measured. */
const NOTHING_LATELY = ["–", "–", "–", ""];
const FIGURES = { requests_per_second: 12.3, p95_ms: 4.2, error_share: 0.5, spark: [1, null, 2] };
/** The versions' last change. */
const AGES = expect.stringMatching(/^\d+ d( \d+ h)? ago$/) as string;

function show(overviews: object[]): void {
  reply("GET", "/ajax-api/2.0/mlflow/endpoints/list-overviews", { overviews });
  render(
    <QueryClientProvider client={makeClient()}>
      <Searched />
    </QueryClientProvider>,
  );
}

function Searched() {
  const [wanted, setWanted] = useState("");
  return (
    <>
      <input type="search" onChange={(event) => setWanted(event.target.value)} />
      <OverviewTable address={(name) => `#/models/${name}`} wanted={wanted} />
    </>
  );
}

test("each endpoint shows how much of it is ready and how many requests its versions answered", async () => {
  const quiet = { ...ENDPOINT, registered_model_name: "quiet" };
  const versions = [{ ...VERSION, requests: 1200 }, { ...VERSION, version: 2, requests: 34 }];
  show([{ ...ENDPOINT, memory_bytes: 61_500_000, last_request: 0, versions, figures: FIGURES }, quiet]);
  const cells = async (name: string): Promise<(string | null)[]> => {
    const row = await screen.findByRole("row", { name: new RegExp(name) });
    return within(row)
      .getAllByRole("cell")
      .map((cell) => cell.textContent);
  };
  expect(await cells("iris")).toEqual(["iris", "●Ready", "2 of 2", "2 of 4", (1234).toLocaleString(), "12 /s", "4.2 ms", "50.0 %", "", "61.5 MB", AGES, AGES, ""]);
  expect(await cells("quiet")).toEqual(["quiet", "●Ready", "1 of 1", "1 of 2", "0", ...NOTHING_LATELY, "–", "–", AGES, ""]);
  screen.getByRole("columnheader", { name: "Requests" });
});

test("endpoints that need a person come first, and are counted and found", async () => {
  const failed = { ...ENDPOINT, registered_model_name: "zinnia", label: "Failed", tone: "failed", state_message: "no disk" };
  show([ENDPOINT, failed]);
  const names = () => screen.getAllByRole("link").map((link) => link.textContent);
  await screen.findByText("no disk");
  expect(names()).toEqual(["zinnia", "iris"]);
  fireEvent.click(screen.getByRole("button", { name: "Ready 1" }));
  expect(names()).toEqual(["iris"]);
  fireEvent.change(screen.getByRole("searchbox"), { target: { value: "zin" } });
  screen.getByText("No served model matches.");
  fireEvent.click(screen.getByRole("button", { name: "All 2" }));
  expect(names()).toEqual(["zinnia"]);
});

test("versions that sleep are counted, whatever the state of their endpoint", async () => {
  show([{ ...ENDPOINT, versions: [{ ...VERSION, asleep: true }] }, { ...ENDPOINT, registered_model_name: "awake" }]);
  fireEvent.click(await screen.findByRole("button", { name: "With versions asleep 1" }));
  expect(screen.getAllByRole("link").map((link) => link.textContent)).toEqual(["iris"]);
});
