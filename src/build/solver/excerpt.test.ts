import { expect, test } from "bun:test";
import { CortenError } from "../../base/errors.ts";
import { vertex } from "../graph.ts";
import { SolveError } from "./error.ts";
import { excerpt } from "./excerpt.ts";

const text = Array.from({ length: 9 }, (_, at) => `line ${at + 1}`).join("\n");
const source = { filename: "sub/Dockerfile", text };
const range = (from: number, to = from) => ({
  start: { line: from, character: 0 },
  end: { line: to, character: 0 },
});
const lines = (...ranges: ReturnType<typeof range>[]) => excerpt(source, ranges)?.split("\n").slice(0, -1);

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
  expect(lines(range(1))?.slice(2, -1)).toEqual([
    "   1 | >>> line 1",
    "   2 |     line 2",
    "   3 |     line 3",
  ]);
  expect(lines(range(9, 12))?.slice(2, -1)).toEqual([
    "   7 |     line 7",
    "   8 |     line 8",
    "   9 | >>> line 9",
  ]);
  expect(excerpt(source, [range(20)])).toBeUndefined();
  expect(excerpt(source, [range(0)])).toBeUndefined();
});

test("an error of a step keeps its code, and its cause for who wants to know more", () => {
  const platform = { os: "linux", architecture: "amd64" };
  const step = vertex({ kind: "merge" }, [], { name: "step", platform, ranges: [range(2)] });
  const cause = new CortenError("resource_exhausted", "no space left");
  const error = new SolveError(cause, step, source);
  expect(error).toMatchObject({
    code: "resource_exhausted",
    message: "failed to solve: no space left",
    cause,
  });
  expect(error.vertex).toBe(step);
  expect(error.filename).toBe("sub/Dockerfile");
  expect(error.excerpt).toContain(">>> line 2");
  expect(new SolveError(cause, step).excerpt).toBeUndefined();
  expect(new SolveError(cause).vertex).toBeUndefined();
});
