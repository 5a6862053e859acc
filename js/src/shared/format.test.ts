import { expect, test } from "vitest";
import { bytes, duration, middle, milliseconds, sentence, serverTiming, withoutColours, words } from "./format";
import { pauseAfter } from "./queries";

test.each([
  [-5000, "0 s"],
  [59_999, "59 s"],
  [185_000, "3 min 5 s"],
  [60_000, "1 min"],
  [7_200_000, "2 h"],
  [7_800_000, "2 h 10 min"],
  [273_600_000, "3 d 4 h"],
])("%i ms are %s", (length, text) => expect(duration(length)).toBe(text));

test.each([
  ["no such file", "no such file."],
  ["no such file. ", "no such file. "],
  ["ValueError: what?", "ValueError: what?"],
])("%j ends as a sentence", (text, ended) => expect(sentence(text)).toBe(ended));

test("the steps of Server-Timing, whatever else it holds", () => {
  expect(serverTiming("auth;dur=0.1, cache;desc=hit, predict;desc=x;dur=12")).toEqual([
    { name: "auth", milliseconds: 0.1 },
    { name: "predict", milliseconds: 12 },
  ]);
  expect(serverTiming(null)).toEqual([]);
});

test("names and lengths as people read them", () => {
  expect(words("VERSION_READY")).toBe("Version ready");
  expect([milliseconds(2.345), milliseconds(12.6)]).toEqual(["2.3 ms", "13 ms"]);
});

test("a server that fails is asked ever more slowly", () => {
  expect([0, 1, 2, 9].map(pauseAfter)).toEqual([2000, 4000, 8000, 30_000]);
});

test.each([
  [999, "999 bytes"],
  [262_144, "262 kB"],
  [4_100_000, "4.1 MB"],
])("%d bytes are told as %s", (value, text) => expect(bytes(value)).toBe(text));

test("a long name keeps both of its ends", () => {
  expect(middle("abcdefghij", 7)).toBe("abc…hij");
  expect(middle("abcdefg", 7)).toBe("abcdefg");
});

test("a log is shown without the colours of a terminal", () => {
  expect(withoutColours("\u001b[33mAdd type hints\u001b[0m [1;2m]")).toBe("Add type hints [1;2m]");
});
