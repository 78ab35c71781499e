import { expect, test } from "bun:test";
import { formatLayoutReference, parseLayoutReference } from "./layout-reference.ts";

const digest = `sha256:${"a".repeat(64)}` as const;

test("a layout's reference has a place, and a tag, a digest or both", () => {
  expect(parseLayoutReference("oci-layout://dir/sub")).toEqual({ place: "dir/sub", tag: "latest" });
  expect(parseLayoutReference("oci-layout:///dir:v1.2")).toEqual({ place: "/dir", tag: "v1.2" });
  expect(parseLayoutReference(`oci-layout://dir@${digest}`)).toEqual({ place: "dir", digest });
  expect(parseLayoutReference(`oci-layout://dir:v1@${digest}`)).toEqual({ place: "dir", tag: "v1", digest });
});

test("what is no tag or digest belongs to the place", () => {
  expect(parseLayoutReference("oci-layout://a:b/c")).toEqual({ place: "a:b/c", tag: "latest" });
  expect(parseLayoutReference("oci-layout://a@b")).toEqual({ place: "a@b", tag: "latest" });
  expect(parseLayoutReference("docker-image://a")).toBeUndefined();
});

test("a reference is written as it is read", () => {
  for (const text of ["oci-layout://dir:v1", `oci-layout://dir@${digest}`, `oci-layout://dir:v1@${digest}`])
    expect(formatLayoutReference(parseLayoutReference(text)!)).toBe(text);
});
