import { closeSync, mkdirSync, openSync, rmSync, unlinkSync } from "node:fs";
import { dirname } from "node:path";
import { internal } from "../base/errors.ts";
import { rawSyscall, SyscallError, syscall } from "./libc.ts";

const CLONE_NEWNET = 0x40000000;
const MS_BIND = 4096;
const MNT_DETACH = 2;
const EINVAL = 22;
const ENOENT = 2;

let own: number | undefined;

/** The namespace this process started in: what every switch returns to. Opened once, before the first switch. */
function ownNetns(): number {
  own ??= openSync("/proc/self/ns/net", "r");
  return own;
}

/** Going back must not fail half: the engine would go on in a container's network. */
function goBack(): void {
  const result = rawSyscall("setns", ownNetns(), CLONE_NEWNET);
  if (result === 0) return;
  process.stderr.write(`cannot return to the engine's network namespace (errno ${-result}); aborting\n`);
  process.abort();
}

/**
 * Runs `work` with the calling thread in another network namespace.
 *
 * Why this is safe on the engine's main thread: `setns` concerns the calling thread only; `work` is
 * synchronous, so no other JavaScript runs before the thread is back (`finally`), and libuv-like workers
 * keep the namespace they were started in. What is opened inside (a netlink socket) stays in the namespace
 * for life, so callers open sockets here and use them outside. Keep `work` that small: a thread which
 * the engine happened to start inside would hold the namespace for as long as it lives.
 */
export function withNetns<T>(netns: number | string, work: () => T): T {
  ownNetns();
  const fd = typeof netns === "number" ? netns : openSync(netns, "r");
  try {
    syscall("setns", [fd, CLONE_NEWNET], typeof netns === "string" ? netns : "network namespace");
    try {
      const result = work();
      if (result instanceof Promise) throw internal("withNetns: the work must be synchronous");
      return result;
    } finally {
      goBack();
    }
  } finally {
    if (typeof netns === "string") closeSync(fd);
  }
}

/**
 * A new network namespace that lives as long as the returned descriptor (or what is bound to it).
 * `inside` runs in it before the thread goes back. About 0.4 ms, nearly all of it the kernel's `unshare`.
 */
export function openNewNetns<T>(inside: () => T): { fd: number; result: T } {
  ownNetns();
  syscall("unshare", [CLONE_NEWNET], "network namespace");
  try {
    const fd = openSync("/proc/thread-self/ns/net", "r");
    try {
      return { fd, result: inside() };
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  } finally {
    goBack();
  }
}

/** Binds a namespace to a file, which keeps it alive without any process. The file must not be there yet. */
export function bindNetns(fd: number, path: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o711 });
  closeSync(openSync(path, "wx", 0o444));
  const result = rawSyscall("mount", `/proc/self/fd/${fd}`, path, null, MS_BIND, null);
  if (result === 0) return;
  unlinkSync(path);
  throw new SyscallError("mount", -result, path);
}

/** A new network namespace, bound to `path`. It has only a loopback interface that is down. */
export function createNetns(path: string): void {
  const { fd } = openNewNetns(() => undefined);
  try {
    bindNetns(fd, path);
  } finally {
    closeSync(fd);
  }
}

/** Unbinds and removes the file. Processes in the namespace keep it; without any the kernel tears it down in its own time. */
export function removeNetns(path: string): void {
  // A file that is no mount, or is gone, is what we want to end with.
  for (;;) {
    const result = rawSyscall("umount2", path, MNT_DETACH);
    if (result === 0) continue;
    if (result === -EINVAL || result === -ENOENT) break;
    throw new SyscallError("umount2", -result, path);
  }
  rmSync(path, { force: true });
}
