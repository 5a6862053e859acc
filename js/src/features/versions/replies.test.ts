import { expect, test } from "vitest";
import { asTable, complaint, pretty } from "./replies";

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
  expect(pretty('{"a":1}')).toBe('{\n  "a": 1\n}');
  expect(pretty("plain")).toBe("plain");
});
