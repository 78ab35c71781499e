import { afterEach, beforeEach, expect, test } from "bun:test";
import { closeSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { lockRoot } from "./root-lock.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "corten-lock-"));
});
afterEach(() => rmSync(root, { recursive: true }));

/** Holds the lock until it is told to end. */
async function holder() {
  const held = Bun.spawn(["flock", join(root, "lock"), "sh", "-c", "echo held; read end"], {
    stdin: "pipe",
    stdout: "pipe",
  });
  await held.stdout.getReader().read();
  return held;
}

test("a lock that a killed daemon's child still has is waited for", async () => {
  const held = await holder();
  let locked = false;
  const locking = lockRoot(root, 60_000).then((file) => {
    locked = true;
    return file;
  });
  await Bun.sleep(50);
  expect(locked).toBe(false);
  held.stdin.end();
  closeSync(await locking);
});

test("the lock of a daemon that lives is its own", async () => {
  const held = await holder();
  expect(await lockRoot(root, 50).catch(String)).toContain(`another containerd uses ${root}`);
  held.stdin.end();
  await held.exited;
});
