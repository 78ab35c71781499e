import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { conflict } from "../../base/errors.ts";

/** True for a process that runs: not for one that is gone, and not for a zombie nobody has reaped yet. */
export function isAlive(pid: number): boolean {
  try {
    // The name in parentheses may hold anything; the state follows the last of them.
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const state = stat.slice(stat.lastIndexOf(")") + 2, stat.lastIndexOf(")") + 3);
    return state !== "Z" && state !== "X";
  } catch {
    return false;
  }
}

/** Claims the pid file for this process; refuses while another live process holds it. */
export function claimPidFile(path: string): () => void {
  let holder = Number.NaN;
  try {
    holder = Number(readFileSync(path, "utf8").trim());
  } catch {
    // No file: nobody.
  }
  if (Number.isInteger(holder) && holder > 0 && holder !== process.pid && isAlive(holder))
    throw conflict(
      `process with PID ${holder} is still running: ensure dockerd is not running or delete ${path}`,
    );
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  writeFileSync(path, `${process.pid}`, { mode: 0o644 });
  return () => {
    try {
      if (Number(readFileSync(path, "utf8").trim()) === process.pid) rmSync(path);
    } catch {
      // Removed already.
    }
  };
}
