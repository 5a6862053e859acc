import { expect, test } from "vitest";
import { numbersAsWritten, pretty } from "./layout";
import { asTable, complaint } from "./replies";

test.each([
  ['{"predictions": [1, 2.5]}', { columns: ["prediction"], rows: [["1"], ["2.5"]] }],
  ['[{"a": 1}, {"b": "x"}]', { columns: ["a", "b"], rows: [["1", ""], ["", "x"]] }],
  ['{"predictions": [[1, 2], [3]]}', { columns: ["0", "1"], rows: [["1", "2"], ["3", ""]] }],
  ['{"predictions": []}', null],
  ['{"error_code": "BAD_REQUEST"}', null],
  ["not json", null],
])("the table of %s", (text, table) => expect(asTable(text)).toEqual(table));

test("JSON is told from what is none", () => {
  expect(complaint('{"a": 1}')).toBeNull();
  expect(complaint("{a: 1}")).not.toBe("");
});

test.each([
  ['{"a":1}', '{\n  "a": 1\n}'],
  ['{"data":[[1.0,-2e5],[null,true]],"none":{},"nothing":[]}',
    '{\n  "data": [\n    [1.0, -2e5],\n    [null, true]\n  ],\n  "none": {},\n  "nothing": []\n}'],
  ['[9007199254740993]', "[9007199254740993]"],
  ['["a, \\"b\\": [c]", "{"]', '["a, \\"b\\": [c]", "{"]'],
  ["plain", "plain"],
  ["12.50", "12.50"],
])("%s is laid out without changing a value", (text, laid) => {
  expect(pretty(text)).toBe(laid);
  expect(pretty(pretty(text))).toBe(laid);
});

test("a table shows numbers as the model wrote them", () => {
  expect(numbersAsWritten("", 1, { source: "1.0" })).toBe("1.0");
  expect(numbersAsWritten("", 1)).toBe(1);
  expect(numbersAsWritten("", "1", { source: '"1"' })).toBe("1");
});
