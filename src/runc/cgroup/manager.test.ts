import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CgroupLayout } from "../../sys/cgroup/index.ts";
import { makeCgroups } from "./manager.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "corten-cgroups-"));
});
afterEach(() => rmSync(root, { recursive: true }));

const layout = (): CgroupLayout => ({
  mode: "v1",
  mounts: new Map([["pids", { directory: root, root: "/" }]]),
  own: new Map([["pids", "/"]]),
});
const making = (...path: string[]) => {
  const wanted = { pids: join(root, ...path) };
  return makeCgroups(
    layout(),
    wanted,
    {},
    { id: "x", ignorePermission: false, explicitPath: true, warn() {} },
  );
};

test("a create that is undone takes along the parents it has made, and what its container has made below", async () => {
  const { undo } = await making("shared", "first");
  mkdirSync(join(root, "shared/first/below"));
  await undo();
  expect(existsSync(join(root, "shared"))).toBe(false);
});

test("a create that is undone leaves the cgroups that others have made meanwhile in the parents it has made", async () => {
  const first = await making("shared", "first");
  // No process is in it yet: the kernel would let it be removed.
  await making("shared", "second");
  await first.undo();
  expect(existsSync(join(root, "shared/first"))).toBe(false);
  expect(existsSync(join(root, "shared/second"))).toBe(true);
});
