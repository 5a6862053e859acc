import { expect, test } from "vitest";
import { changes, toDraft, toForm, withDraft } from "./fields";

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
