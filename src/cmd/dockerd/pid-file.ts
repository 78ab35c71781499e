import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { conflict } from "../../base/errors.ts";
import { rawSyscall } from "../../sys/libc.ts";

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

/**
 * Claims the pid file for this process; refuses while another live process holds it. Of daemons that start at the same
 * time a lock on the file lets one through; the kernel gives it back when its holder dies.
 */
export function claimPidFile(path: string): () => void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  const fd = openLocked(path);
  const holder = Number(readFileSync(fd, "utf8").trim());
  // A daemon that locks nothing (Docker's own) may have written it.
  if (Number.isInteger(holder) && holder > 0 && holder !== process.pid && isAlive(holder)) {
    closeSync(fd);
    throw stillRunning(String(holder), path);
  }
  ftruncateSync(fd);
  writeSync(fd, `${process.pid}`, 0);
  return () => {
    if (isFileAt(fd, path)) rmSync(path);
    closeSync(fd);
  };
}

const lockExclusive = 2;
const lockWithoutWaiting = 4;

/** Milliseconds that the child of a daemon killed while it forked may take until it executes its program: it has the lock as well. */
const patience = 5000;

/** The file of that name, locked by us: not one that its last holder removed while we opened it. */
function openLocked(path: string): number {
  for (const until = Date.now() + patience; ; ) {
    const fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o644);
    if (rawSyscall("flock", fd, lockExclusive | lockWithoutWaiting) < 0) {
      const holder = readFileSync(fd, "utf8").trim();
      closeSync(fd);
      if (!/^\d+$/.test(holder) || isAlive(Number(holder)) || Date.now() >= until)
        throw stillRunning(holder || "unknown", path);
      Bun.sleepSync(20);
      continue;
    }
    if (isFileAt(fd, path)) return fd;
    closeSync(fd);
  }
}

function isFileAt(fd: number, path: string): boolean {
  const found = statSync(path, { throwIfNoEntry: false });
  const ours = fstatSync(fd);
  return found !== undefined && found.ino === ours.ino && found.dev === ours.dev;
}

const stillRunning = (holder: string, path: string) =>
  conflict(`process with PID ${holder} is still running: ensure dockerd is not running or delete ${path}`);
