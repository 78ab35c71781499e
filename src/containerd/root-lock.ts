import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { sleep } from "../base/async.ts";
import { conflict } from "../base/errors.ts";
import { rawSyscall } from "../sys/libc.ts";

const LOCK_EX_NB = 2 | 4;

/** How long the child of a daemon killed while it forked may take until it executes its program. */
const patience = 5000;

/**
 * Two daemons on one root would ruin it; the kernel gives the lock back when we die. Not at once when that is while we start
 * a process: until it executes its program our child has the lock as well.
 */
export async function lockRoot(root: string, milliseconds = patience): Promise<number> {
  const file = openSync(join(root, "lock"), "w", 0o600);
  for (const until = Date.now() + milliseconds; rawSyscall("flock", file, LOCK_EX_NB) < 0; ) {
    if (Date.now() >= until) {
      closeSync(file);
      throw conflict(`another containerd uses ${root}`);
    }
    await sleep(20);
  }
  return file;
}
