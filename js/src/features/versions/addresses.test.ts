import { expect, test } from "vitest";
import type { Overview, Tone, Version } from "../../shared/api";
import { addressesOf } from "./addresses";

const version = (number: number, tone: Tone): Version => ({
  version: number,
  label: tone,
  tone,
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
  sample: null,
  fetched: true,
  build_log: false,
  retry_at: null,
  requests: 0,
  memory_bytes: 0,
  last_request: null,
});

const overview = (latest: string, ...versions: Version[]): Overview => ({
  registered_model_name: "große Modelle",
  label: "Ready",
  tone: "ready",
  state_message: "",
  serving_state: "READY",
  latest_message: "",
  reason: null,
  latest,
  inactive: {},
  memory_bytes: 0,
  last_request: null,
  versions,
  stages: { Production: "1" },
  aliases: { champion: "2" },
});

const labels = (of: Overview, number: number) => addressesOf(of, number, (path) => path).map((one) => one.label);

test("a version has an address by number, and one for each stage and alias that it holds", () => {
  const both = overview("2", version(2, "ready"), version(1, "ready"));
  expect(addressesOf(both, 1, (path) => `http://here${path}`)).toEqual([
    { label: "Version 1", url: "http://here/model/gro%C3%9Fe%20Modelle/1/invocations" },
    { label: "Stage Production", url: "http://here/model/gro%C3%9Fe%20Modelle/Production/invocations" },
  ]);
  expect(labels(both, 2)).toEqual(["Version 2", "Alias @champion", "Latest"]);
});

test("latest is an address of the version that the server names", () => {
  const both = overview("1", version(2, "busy"), version(1, "ready"));
  expect(labels(both, 1)).toContain("Latest");
  expect(labels(both, 2)).not.toContain("Latest");
});
