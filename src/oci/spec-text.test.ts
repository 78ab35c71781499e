import { expect, test } from "bun:test";
import type { Spec } from "./runtime-spec.ts";
import { encodeSpec, specIn, specText } from "./spec-text.ts";

const profile = { defaultAction: "SCMP_ACT_ERRNO" as const, syscalls: [] };

test("the text of a spec says the same as the spec, with and without a profile", () => {
  const specs: Spec[] = [
    { ociVersion: "1.0.2" },
    { ociVersion: "1.0.2", linux: { seccomp: profile } },
    { ociVersion: "1.0.2", linux: { seccomp: profile, cgroupsPath: "/a" }, annotations: { x: '"' } },
    { ociVersion: "1.0.2", linux: { cgroupsPath: "/a" } },
  ];
  for (const spec of specs) expect(JSON.parse(specText(spec))).toEqual(spec as object);
});

test("bytes are known again by identity only", () => {
  const spec: Spec = { ociVersion: "1.0.2", linux: { seccomp: profile } };
  const bytes = encodeSpec(spec);
  expect(specIn(bytes)).toBe(spec);
  expect(specIn(bytes.slice())).toBeUndefined();
  expect(JSON.parse(new TextDecoder().decode(bytes))).toEqual(spec as object);
});
