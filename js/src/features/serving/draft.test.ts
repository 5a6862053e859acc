import { expect, test } from "vitest";
import type { ServedConfig } from "../../shared/servingApi";
import { type Draft, EMPTY, changes, moved, problemOf, toBody, toDraft, typed, without } from "./draft";

const state = { deployment: "DEPLOYMENT_READY", deployment_state_message: "" };
const CONFIG: ServedConfig = {
  served_entities: [
    { name: "present", entity_name: "iris", entity_version: "3", workload_size: "Small", scale_to_zero_enabled: false, environment_vars: { KEY: "********" }, state },
    { name: "next", entity_name: "iris", entity_version: "@champion", workload_size: "Small", scale_to_zero_enabled: false, state },
  ],
  traffic_config: { routes: [{ served_model_name: "present", traffic_percentage: 90 }, { served_model_name: "next", traffic_percentage: 10 }] },
  config_version: 2,
};
const DRAFT = toDraft(CONFIG);
const changed = (part: Partial<Draft>): Draft => ({ ...DRAFT, ...part });

test("a configuration that nobody changed is sent as it came, with its kept variables and without what only the server says", () => {
  const body = toBody(DRAFT);
  expect(body.served_entities[0]).toEqual({ name: "present", entity_name: "iris", entity_version: "3", workload_size: "Small", scale_to_zero_enabled: false, environment_vars: { KEY: "********" } });
  expect(body.traffic_config).toEqual(CONFIG.traffic_config);
  expect(body).not.toHaveProperty("shadow");
  expect(changes(DRAFT, DRAFT)).toEqual([]);
});

test("each change is said before it is applied", () => {
  const [present, next] = DRAFT.entities;
  if (!present || !next) throw new Error("the draft has two entities");
  const after = changed({
    entities: [{ ...present, entity_version: "4", scale_to_zero_enabled: true, environment_vars: { KEY: "new" } }, { ...next, name: "later" }],
    traffic: [80, 20],
    shadow: { served_model_name: "later", percentage: 50 },
  });
  expect(changes(DRAFT, after)).toEqual([
    "Remove next.",
    "present: version 3 → 4.",
    "present: size Small → Small, may sleep.",
    "present: other environment variables.",
    "present: traffic 90 % → 80 %.",
    "Add later: iris, version @champion, 20 % of the traffic.",
    "Shadow: none → later, 50 %.",
  ]);
});

test.each([
  [EMPTY, "Choose the model and the version of entity 1."],
  [changed({ traffic: [90, 20] }), "The traffic adds up to 110 %, not 100 %."],
  [changed({ shadow: { served_model_name: "gone", percentage: 1 } }), "Choose the entity that gets the shadow requests."],
  [changed({ entities: DRAFT.entities.map((one) => ({ ...one, name: "twin" })) }), "Two entities are named 'twin'."],
  [DRAFT, null],
])("what is missing in a draft is said: %#", (draft, problem) => {
  expect(problemOf(draft)).toBe(problem);
});

test.each([
  [[90, 10], 1, 30, [70, 30]],
  [[50, 30, 20], 0, 0, [0, 60, 40]],
  [[34, 33, 33], 0, 35, [35, 33, 32]],
  [[100, 0], 0, 40, [40, 60]],
  [[50, 50], 0, 250, [100, 0]],
  [[100], 0, 10, [10]],
])("of %j, entity %i typed to %i % gives %j", (traffic, index, percent, expected) => {
  const found = typed(traffic, index, percent);
  expect([...found].sort()).toEqual([...expected].sort());
  if (traffic.length > 1) expect(found.reduce((sum, one) => sum + one, 0)).toBe(100);
});

test("a border takes from one side what the other gets, and no more than there is", () => {
  expect(moved([60, 30, 10], 0, 15)).toEqual([75, 15, 10]);
  expect(moved([60, 30, 10], 0, 50)).toEqual([90, 0, 10]);
  expect(moved([60, 30, 10], 1, -50)).toEqual([60, 0, 40]);
});

test("a shadow that gets all the traffic ends, which is said before", () => {
  const before = changed({ shadow: { served_model_name: "next", percentage: 20 } });
  for (const after of [{ ...before, traffic: [0, 100] }, without(before, 0)]) {
    expect(toBody(after)).not.toHaveProperty("shadow");
    expect(changes(before, after)).toContain("Shadow: next, 20 % → none.");
  }
  expect(toBody(before)).toHaveProperty("shadow", before.shadow);
});

test("the traffic of an entity that is removed goes to the others", () => {
  expect(without(DRAFT, 0).traffic).toEqual([100]);
  expect(without(DRAFT, 0).entities.map((one) => one.name)).toEqual(["next"]);
});

test("of the request log the keys that are set are sent, and an emptied one is reset", () => {
  const before = toDraft({ ...CONFIG, request_log: { enabled: true, redact: ["age"] } });
  const after = { ...before, log: { ...before.log, redact: "", sampling_fraction: "0.1" } };
  expect(toBody(after).request_log).toEqual({ enabled: true, redact: null, sampling_fraction: 0.1 });
  expect(changes(before, after)).toEqual(["Redact: age → nothing.", "Sampling fraction: the default, 1 → 0.1."]);
  expect(toBody(DRAFT)).not.toHaveProperty("request_log");
});
