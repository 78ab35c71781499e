import { describe, expect, test } from "bun:test";
import { humanDuration } from "../../base/duration.ts";
import { indentJson } from "./inspect.ts";
import { alignColumns } from "./tabwriter.ts";
import { ellipsis, naturalCompare } from "./text.ts";
import { goTimeString } from "./time.ts";
import { timestamp } from "./timestamp.ts";
import { humanSize, parseBytes } from "./units.ts";

test("sizes are rounded as docker rounds them", () => {
  expect([0, 999, 1000, 12345, 999_999, 1_234_567_890].map((n) => humanSize(n, 3))).toEqual([
    "0B",
    "999B",
    "1kB",
    "12.3kB",
    "1e+03kB",
    "1.23GB",
  ]);
});

test("durations are put in words", () => {
  const times = [
    0.5,
    1,
    59,
    60,
    119,
    120,
    3599,
    5400,
    7200,
    47 * 3600,
    48 * 3600,
    14 * 86400,
    60 * 86400,
    730 * 86400,
  ];
  expect(times.map(humanDuration)).toEqual([
    "Less than a second",
    "1 second",
    "59 seconds",
    "About a minute",
    "About a minute",
    "2 minutes",
    "59 minutes",
    "2 hours",
    "2 hours",
    "47 hours",
    "2 days",
    "2 weeks",
    "2 months",
    "2 years",
  ]);
});

describe("bytes", () => {
  for (const [text, expected] of [
    ["64m", 67108864],
    ["1.5GiB", 1610612736],
    ["10", 10],
    ["5 kb", 5120],
    ["1B", 1],
  ] as const)
    test(`${text} is ${expected}`, () => expect(parseBytes(text)).toBe(expected));
  for (const text of ["", "m", "5q", "-1", "1.2.3", "5kbb"])
    test(`${text} is refused`, () => expect(() => parseBytes(text)).toThrow());
});

test("columns end where the block of lines that have them ends", () => {
  expect(alignColumns("a\tbbb\tc\nlonger\tb\tc\nalone\nx\ty\n", { minWidth: 0, padding: 1 })).toBe(
    "a      bbb c\nlonger b   c\nalone\nx y\n",
  );
});

test("wide characters take two columns", () => {
  expect(ellipsis("日本語", 5)).toBe("日本…");
  expect(alignColumns("日\tx\nabc\tx\n", { minWidth: 0, padding: 1 })).toBe("日  x\nabc x\n");
});

test("ports sort as numbers", () => {
  expect(["443/tcp", "80/tcp", "8080/tcp"].sort(naturalCompare)).toEqual(["80/tcp", "443/tcp", "8080/tcp"]);
});

test("JSON is indented without touching its numbers and texts", () => {
  expect(indentJson('[{"a":12345678901234567890,"b":"{,}:\\"","c":[],"d":{}}]')).toBe(
    '[\n    {\n        "a": 12345678901234567890,\n        "b": "{,}:\\"",\n        "c": [],\n        "d": {}\n    }\n]',
  );
});

test("times of --since are durations, dates or seconds", () => {
  expect(timestamp("10m", 1_700_000_000_000)).toBe("1699999400.000000000");
  expect(timestamp("2024-01-02T03:04:05.5Z")).toBe("1704164645.500000000");
  expect(timestamp("1700000000")).toBe("1700000000");
  expect(() => timestamp("soon")).toThrow();
});

test("a time keeps its zone and loses the zeros at its end", () => {
  expect(goTimeString("2026-01-02T03:04:05.120000000Z")).toBe("2026-01-02 03:04:05.12 +0000 UTC");
});
