import { expect, test } from "vitest";
import { deployments, sdk } from "./snippets";

const CALL = { host: "http://host:5000", endpoint: "flowers", auth: false, body: '{"dataframe_split": {"columns": ["a"], "data": [[null]]}}' };

test("a program for databricks-sdk gives each field of the body its argument", () => {
  const text = sdk(CALL);
  expect(text).toContain("from databricks.sdk.service.serving import DataframeSplitInput");
  expect(text).toContain("dataframe_split=DataframeSplitInput.from_dict({");
  expect(text).toContain("[None]");
  expect(sdk({ ...CALL, auth: true, body: '{"inputs": [1]}' })).toContain('os.environ["MLFLOW_TRACKING_TOKEN"]');
});

test("a body that the SDK has no argument for goes through its plain client", () => {
  expect(sdk({ ...CALL, body: '{"inputs": [1], "params": {"a": true}}' })).toContain('"params": {');
  expect(sdk({ ...CALL, body: '{"inputs": [1], "params": {"a": true}}' })).toContain("w.api_client.do");
});

test("a program for mlflow.deployments has the body as a literal", () => {
  expect(deployments(CALL)).toContain('client.predict(endpoint="flowers", inputs=body)');
});
