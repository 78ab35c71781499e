import { expect, test } from "bun:test";
import { parseChallenges } from "./challenge.ts";

test("a bearer challenge with quoted values, commas and escapes inside", () => {
  const header = 'Bearer realm="https://a/t",service="r, x",scope="repository:a:pull,push",error="a\\"b"';
  expect(parseChallenges(header)).toEqual([
    {
      scheme: "bearer",
      parameters: { realm: "https://a/t", service: "r, x", scope: "repository:a:pull,push", error: 'a"b' },
    },
  ]);
});

test("several challenges in one header", () => {
  expect(
    parseChallenges('Basic realm="x", Bearer realm=y , service = z').map(({ scheme }) => scheme),
  ).toEqual(["basic", "bearer"]);
});

test("malformed headers give what was well-formed before, and never hang", () => {
  expect(parseChallenges("")).toEqual([]);
  expect(parseChallenges("realm=x")).toEqual([]);
  expect(parseChallenges('Bearer realm="unclosed')).toEqual([{ scheme: "bearer", parameters: {} }]);
  expect(parseChallenges("Basic, ;;;")).toEqual([{ scheme: "basic", parameters: {} }]);
  expect(parseChallenges(`Basic ${"a".repeat(20_000)}`)).toEqual([]);
});
