import { describe, expect, test } from "bun:test";
import { SyntaxProblem } from "../errors.ts";
import { Ignore } from "./ignore.ts";
import { matchPath } from "./match.ts";

const ignore = (...lines: string[]) => new Ignore(Ignore.parse(lines.join("\n")));

test("the patterns of a file are cleaned and kept in order", () => {
  expect(Ignore.parse("\ufeff# c\n/a/\n\n ./b/../c \n! /d\n*.go\r\n!e/\n")).toEqual([
    "a",
    "c",
    "!d",
    "*.go",
    "!e",
  ]);
});

test("an ignored directory takes along what is below it, whatever was asked before", () => {
  const one = ignore("a", "!a/keep");
  expect(["a/x/y", "a/keep", "a/keep/z", "a", "ab", "b/a"].map((path) => one.excludes(path))).toEqual([
    true,
    false,
    false,
    true,
    false,
    false,
  ]);
  // Directories are remembered; names without one are not theirs.
  expect(["foo/x", "foo+"].map((path) => ignore("foo").excludes(path))).toEqual([true, false]);
});

test("the root of the context is never ignored", () => {
  expect(ignore("**").excludes(".")).toBe(false);
  expect(ignore("*").excludes("")).toBe(false);
});

describe("an ignored directory is walked only where something of it may be wanted", () => {
  test.each<[string[], string, boolean]>([
    [["a"], "a", false],
    [["a", "!a/b/c"], "a", true],
    [["a", "!a/b/c"], "a/b", true],
    [["a", "!a/b/c"], "a/d", false],
    [["a", "!a/b/**"], "a/b", true],
    [["a", "!b"], "a", false],
    [["a", "!**/*.md"], "a", true],
    [["a", "!ab"], "a", false],
  ])("%j: %s", (lines, directory, wanted) => {
    expect(ignore(...lines).mayHaveIncludedBelow(directory)).toBe(wanted);
  });
});

test("a bad pattern is refused when the file is read", () => {
  for (const line of ["a[", "!", "\\", "b/[z"]) expect(() => ignore(line)).toThrow(SyntaxProblem);
});

test("a pattern with many stars is matched without going back again and again", () => {
  expect(ignore(`${"*a".repeat(500)}b`).excludes("a".repeat(4000))).toBe(false);
  expect(ignore(`${"**/a/".repeat(500)}b`).excludes(`${"a/".repeat(2000)}c`)).toBe(false);
  expect(ignore(`${"**/a*/".repeat(5)}b`).excludes(`${"ax/".repeat(8)}b`)).toBe(true);
  expect(matchPath(`${"*a".repeat(1000)}b`, "a".repeat(4000))).toBe(false);
  expect(matchPath(`${"*a".repeat(1000)}*`, "a".repeat(4000))).toBe(true);
});
