import { expect, test } from "bun:test";
import { excerpt } from "./excerpt.ts";

const text = Array.from({ length: 9 }, (_, at) => `line ${at + 1}`).join("\n");
const source = { filename: "sub/Dockerfile", text };
const range = (from: number, to = from) => ({
  start: { line: from, character: 0 },
  end: { line: to, character: 0 },
});
const lines = (...ranges: ReturnType<typeof range>[]) => excerpt(source, ranges).split("\n").slice(0, -1);

test("one line is shown with two around it", () => {
  expect(lines(range(5))).toEqual([
    "sub/Dockerfile:5",
    "--------------------",
    "   3 |     line 3",
    "   4 |     line 4",
    "   5 | >>> line 5",
    "   6 |     line 6",
    "   7 |     line 7",
    "--------------------",
  ]);
});

test("several lines are shown with one around them, marked where they are meant", () => {
  expect(lines(range(4, 5), range(7))).toEqual([
    "sub/Dockerfile:4",
    "--------------------",
    "   3 |     line 3",
    "   4 | >>> line 4",
    "   5 | >>> line 5",
    "   6 |     line 6",
    "   7 | >>> line 7",
    "   8 |     line 8",
    "--------------------",
  ]);
});

test("the ends of the file are where it ends", () => {
  expect(lines(range(1)).slice(2, -1)).toEqual([
    "   1 | >>> line 1",
    "   2 |     line 2",
    "   3 |     line 3",
  ]);
  expect(lines(range(9, 12)).slice(2, -1)).toEqual([
    "   7 |     line 7",
    "   8 |     line 8",
    "   9 | >>> line 9",
  ]);
  expect(lines(range(1, 2)).slice(2, -1)).toHaveLength(3);
  expect(excerpt(source, [range(20)])).toBe("");
  expect(excerpt(source, [range(0)])).toBe("");
});
