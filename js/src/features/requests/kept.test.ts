import { expect, test } from "vitest";
import { comparison, missing, pathAgain, refusal } from "./kept";

const exchange = (request: string | null, response: string | null, codes: string[] = [], status = 200) => ({
  request_id: "a",
  request_time: 0,
  status_code: status,
  execution_duration_ms: 1,
  request,
  response,
  logging_error_codes: codes,
});

test.each([
  [exchange("{}", "{}"), null, null, null],
  [exchange('{"inputs":[{"age":"[REDACTED]"}]}', "{}"), "Some values are redacted.", null, /values are redacted/],
  [exchange(null, null), "Redacted: the log holds no request bodies.", "Redacted: the log holds no answers.", /has no body/],
  [exchange("{}", null, ["RESPONSE_STREAMED"]), null, "The answer was a stream. The log holds no streams.", null],
  [exchange("{}", null, [], 499), null, "The client left before the answer.", null],
  [exchange("a,b\n1,2", "{}"), null, null, /not JSON/],
  [exchange(null, "{}", ["BRAND_NEW_REQUEST_CODE"]), "BRAND_NEW_REQUEST_CODE", null, /has no body/],
])("what is missing in the log is said: %#", (given, ofRequest, ofResponse, refused) => {
  expect(missing(given, "request")).toBe(ofRequest);
  expect(missing(given, "response")).toBe(ofResponse);
  if (refused) expect(refusal(given)).toMatch(refused);
  else expect(refusal(given)).toBeNull();
});

test.each([
  ['{"predictions":[1]}', '{ "predictions": [1] }', "The new answer equals the logged answer."],
  ['{"predictions":[1,2,3]}', '{"predictions":[1,0,0]}', "2 of 3 predictions differ."],
  ['{"predictions":[1]}', '{"predictions":[1,2]}', "The new answer differs from the logged answer."],
  ['{"predictions":[1],"trace":1}', '{"predictions":[1],"trace":2}', "The predictions are equal, and the rest of the answers differs."],
  ["", '{"predictions":[1]}', "The new answer differs from the logged answer."],
])("%s and %s: %s", (logged, now, verdict) => expect(comparison(now, logged)).toBe(verdict));

test.each([
  ['{"inputs":[{"age":1}]}', "{}", "/model/iris/7/invocations"],
  ['{"inputs":[{"name":"x","shape":[1],"datatype":"FP64","data":[1]}]}', "{}", "/v2/models/iris/versions/7/infer"],
  ['{"model":"iris/7","messages":[]}', '{"object":"chat.completion"}', "/model/iris/7/v1/chat/completions"],
  ['{"model":"iris/7","input":"a"}', '{"object":"response"}', "/model/iris/7/v1/responses"],
  ['{"model":"iris/7","input":"a"}', '{"object":"list"}', "/model/iris/7/v1/embeddings"],
  ['{"model":"iris/7","input":"a"}', null, "/model/iris/7/invocations"],
  ['{"messages":[]}', '{"object":"chat.completion"}', "/model/iris/7/invocations"],
])("%s goes once more to the API that it was written for", (request, response, path) => {
  expect(pathAgain("/model/iris/7/invocations", { request, response })).toBe(path);
  expect(pathAgain("/serving-endpoints/a/served-models/b/invocations", { request, response })).toBe("/serving-endpoints/a/served-models/b/invocations");
});
