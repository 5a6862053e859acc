import { expect, test } from "vitest";
import { curl, powerBi, python } from "./snippets";

const call = { url: "http://host/model/a%20b/1/invocations", body: `{"inputs": ["it's"]}`, auth: false };

test("the curl line survives quotes in the body", () => {
  expect(curl(call)).toBe(
    `curl 'http://host/model/a%20b/1/invocations' \\\n  -H 'Content-Type: application/json' \\\n  -d '{"inputs": ["it'\\''s"]}'`,
  );
});

test("with authentication, snippets read the token from the environment and never contain one", () => {
  const texts = [curl, python].map((make) => make({ ...call, auth: true }));
  texts.forEach((text) => expect(text).toContain("MLFLOW_TRACKING_TOKEN"));
  expect(powerBi({ ...call, auth: true })).toContain('Authorization = "Bearer " & Token');
  expect([curl, python, powerBi].map((make) => make(call)).join("")).not.toMatch(/Authorization|TOKEN/);
});

test("the Python program holds the body as a literal of Python", () => {
  const body = '{"inputs": [{"a": null, "b\\/": "null \\" true"}, [1.0, true, 9007199254740993]]}';
  expect(python({ ...call, body })).toContain(
    `body = {\n  "inputs": [\n    {\n      "a": None,\n      "b/": "null \\" true"\n    },\n    [1.0, True, 9007199254740993]\n  ]\n}`,
  );
  expect(python(call)).toContain("json=body");
});
