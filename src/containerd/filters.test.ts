import { expect, test } from "bun:test";
import { fields, parseFilters } from "./filters.ts";

const container = fields(
  { id: "web", image: "docker.io/library/nginx:latest", "runtime.name": "io.containerd.runc.v2" },
  { a: "b", "com.example/x.y": "two words", empty: "" },
);
const matches = (...filters: string[]) => parseFilters(filters)(container);

test("no filter, or an empty one, matches everything", () => {
  expect(matches()).toBe(true);
  expect(matches("")).toBe(true);
});

test("equality, inequality and presence read fields and labels", () => {
  expect(matches("id==web")).toBe(true);
  expect(matches("id==api")).toBe(false);
  expect(matches("id!=api")).toBe(true);
  expect(matches("labels.a")).toBe(true);
  expect(matches("labels.b")).toBe(false);
  expect(matches('labels."com.example/x.y"=="two words"')).toBe(true);
  expect(matches("runtime.name==io.containerd.runc.v2")).toBe(true);
});

test("a present label with an empty value is present", () => {
  expect(matches("labels.empty")).toBe(true);
});

test("a comma means and, several filters mean or", () => {
  expect(matches("id==web,labels.a==c")).toBe(false);
  expect(matches("id==web, labels.a==b")).toBe(true);
  expect(matches("id==api", "labels.a==b")).toBe(true);
});

test("regular expressions may be quoted with | or /", () => {
  expect(matches("image~=|^docker.io/|")).toBe(true);
  expect(matches("image~=/nginx:[a-z]+$/")).toBe(true);
  expect(matches("image~=^quay")).toBe(false);
  expect(matches('image~="\\\\.io"')).toBe(true);
});

test("what cannot be parsed is an invalid argument that shows the place", () => {
  for (const bad of ["id=web", "id==", '=="x"', 'id=="x', "id==|x|", "id==a b", "image~=|[|"])
    expect(() => matches(bad)).toThrow(/filters: parse error/);
});
