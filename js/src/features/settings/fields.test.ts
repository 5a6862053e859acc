import { expect, test } from "vitest";
import { changes, toDraft, toForm, told, withDraft } from "./fields";
import { grouped } from "./groups";
import { withLogRules } from "./logRules";

const rules = {
  replicas: { title: "", description: "", type: "integer" as const, default: 1 },
  runtime: { title: "", description: "", type: "string" as const, default: "native" },
};
const config = { replicas: 2, runtime: "native", environment: { KEY: "********" } };

test("an untouched form changes nothing", () => expect(changes(toForm(config), config, rules)).toEqual({}));

test("only what differs is sent, numbers as numbers, an emptied field as its default", () => {
  const form = toForm(config);
  expect(changes({ ...form, texts: { replicas: "3", runtime: "native" } }, config, rules)).toEqual({ replicas: 3 });
  expect(changes({ ...form, texts: { replicas: "", runtime: "mlflow" } }, config, rules)).toEqual({
    replicas: null,
    runtime: "mlflow",
  });
});

test("a variable's value that was not typed anew is kept", () => {
  const form = toForm(config);
  const variables = [...form.variables, { name: "MORE", value: "x" }, { name: " ", value: "nameless" }];
  expect(changes({ ...form, variables }, config, rules)).toEqual({ environment: { KEY: "********", MORE: "x" } });
});

test("what another window saves meanwhile is not undone by what is not saved here", () => {
  const typed = toForm(config);
  const draft = toDraft({ ...typed, texts: { ...typed.texts, replicas: "3" } }, config);
  const meanwhile = { ...config, batching: "off", environment: { B: "********" } };
  expect(changes(withDraft(meanwhile, draft), meanwhile, rules)).toEqual({ replicas: 3 });
});

test("what a change does is said before the change is saved", () => {
  const rule = (title: string, fallback: unknown) => ({ title, description: "", type: "integer", default: fallback }) as const;
  const rules = { replicas: rule("Replicas", 1), threads: rule("Threads", null) };
  expect(told({ replicas: 2, threads: null, environment: { KEY: "secret" } }, { replicas: 1, threads: 4 }, rules)).toEqual([
    "Replicas: 1 → 2.",
    "Threads: 4 → the default.",
    "environment: changed.",
  ]);
});

test("each setting stands in one group, and a new one is not lost", () => {
  expect(grouped(["replicas", "network", "brand_new"])).toEqual([
    ["Capacity", ["replicas"]],
    ["Isolation", ["network"]],
    ["More", ["brand_new"]],
  ]);
});

test("keys of the log are fields of their own, of which only those that changed are sent", () => {
  const all = withLogRules({ ...rules, request_log: { title: "", description: "", type: "object" as const, default: {} } });
  const logged = { replicas: 1, request_log: { enabled: true, redact: ["age", "sepal length (cm)"], sampling_fraction: 0.5 } };
  const form = toForm(logged);
  expect(form.texts["request_log.redact"]).toBe("age\nsepal length (cm)");
  expect(changes(form, logged, all)).toEqual({});
  const texts = { ...form.texts, "request_log.enabled": "", "request_log.redact": "age\n\n name ", "request_log.location": "", "request_log.max_payload_bytes": "100" };
  const changed = changes({ ...form, texts }, logged, all);
  expect(changed).toEqual({ request_log: { enabled: null, redact: ["age", "name"], max_payload_bytes: 100 } });
  expect(told(changed, logged, all)).toEqual([
    "Log requests and answers: on → off.",
    "Redact: age, sepal length (cm) → age, name.",
    "Longest body (bytes): the default, 1048576 → 100.",
  ]);
});
