import { expect, test } from "bun:test";
import { Filters } from "./filters.ts";
import { isTrue, Query } from "./query.ts";

const parse = (value: unknown, accepted = ["label", "name", "dangling"]) =>
  Filters.parse(new Query(`filters=${encodeURIComponent(JSON.stringify(value))}`), accepted);

test("filters are read as map of lists and as map of maps", () => {
  expect(parse({ name: ["a", "b"] }).get("name")).toEqual(["a", "b"]);
  expect(parse({ name: { a: true, b: true } }).get("name")).toEqual(["a", "b"]);
});

test("an unknown filter is refused", () => {
  expect(() => parse({ nosuch: ["x"] })).toThrow("invalid filter 'nosuch'");
});

test("all labels must match, by key or by key and value", () => {
  const filters = parse({ label: ["a", "b=2"] });
  expect(filters.labels("label", { a: "1", b: "2" })).toBe(true);
  expect(filters.labels("label", { a: "1", b: "3" })).toBe(false);
  expect(filters.labels("label", null)).toBe(false);
});

test("a boolean filter must say one thing", () => {
  expect(parse({ dangling: ["true"] }).bool("dangling")).toBe(true);
  expect(parse({ dangling: ["0"] }).bool("dangling")).toBe(false);
  expect(() => parse({ dangling: ["maybe"] }).bool("dangling")).toThrow("invalid filter 'dangling=[maybe]'");
});

test("booleans are no only when they say so", () => {
  for (const yes of ["1", "true", "True", "yes", "x"]) expect(isTrue(yes)).toBe(true);
  for (const no of ["0", "false", "False", "no", "none", ""]) expect(isTrue(no)).toBe(false);
});
