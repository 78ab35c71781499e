import { expect, test } from "bun:test";
import { parseDuration } from "./events.ts";
import { type Flag, parseFlags } from "./flags.ts";
import { parseBytes } from "./update.ts";

const flags: readonly Flag[] = [
  ["bundle", "b", "string"],
  ["detach", "d", "bool"],
  ["env", "e", "list"],
];

test("one dash, two dashes, equals and the next word are the same", () => {
  for (const argv of [["-b", "x"], ["--bundle", "x"], ["-bundle=x"], ["--bundle=x"]])
    expect(parseFlags([...argv, "id"], flags).string("bundle")).toBe("x");
});

test("flags are taken after the id, but not from exec's command", () => {
  const after = parseFlags(["id", "-d", "--env", "A=1", "-e", "B=2"], flags);
  expect([after.args, after.bool("detach"), after.list("env")]).toEqual([["id"], true, ["A=1", "B=2"]]);
  expect(parseFlags(["-d", "id", "sh", "-d", "--help"], flags, true).args).toEqual([
    "id",
    "sh",
    "-d",
    "--help",
  ]);
});

test("a lone dash and three dashes are words, and a value may hold anything", () => {
  expect(parseFlags(["-", "---x", "--=y", "-=z"], flags).args).toEqual(["-", "---x", "--=y", "-=z"]);
  expect(parseFlags(["--env=A=b\n-c", "-e=", "--", "-d"], flags)).toMatchObject({ args: ["-d"] });
  expect(parseFlags(["--env=A=b\n-c", "-e="], flags).list("env")).toEqual(["A=b\n-c", ""]);
});

test("an unknown flag and a missing value are named", () => {
  expect(() => parseFlags(["--nothing"], flags)).toThrow("flag provided but not defined: -nothing");
  expect(() => parseFlags(["--bundle"], flags)).toThrow("flag needs an argument: -bundle");
});

test("sizes and durations are Go's", () => {
  expect([parseBytes("-1", "m"), parseBytes("64m", "m"), parseBytes("1.5GiB", "m")]).toEqual([
    -1,
    64 << 20,
    1.5 * 2 ** 30,
  ]);
  expect(() => parseBytes("many", "memory")).toThrow("invalid value for memory");
  expect([parseDuration("100ms"), parseDuration("1m30s"), parseDuration("-1s")]).toEqual([
    100, 90_000, -1000,
  ]);
});
