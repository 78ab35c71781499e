import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { leftSince, shared, traces } from "./left.ts";

test("what a run has left is named, and what was there before is not", () => {
  const earlier = mkdtempSync(join(tmpdir(), "corten-left-"));
  const before = traces();
  const later = mkdtempSync(join(tmpdir(), "corten-left-"));
  try {
    // Nothing but ours: other tests make things meanwhile, and have their cgroups in the shared ones.
    const ours = leftSince(new Set([...before, ...shared.map((name) => `cgroup ${name}`)])).filter((trace) =>
      trace.includes("corten-left-"),
    );
    expect(ours).toEqual([`directory ${later}`]);
  } finally {
    rmSync(earlier, { recursive: true });
    rmSync(later, { recursive: true });
  }
});
