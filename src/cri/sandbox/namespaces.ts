/** The namespaces of a pod, each kept alive by a file it is bound to: no process is needed for them. */
import { closeSync, openSync, readFileSync } from "node:fs";
import { internal } from "../../base/errors.ts";
import { addressOf, bareSyscall, SyscallError } from "../../sys/libc.ts";
import { bindNetns, removeNetns } from "../../sys/netns.ts";

const CLONE_NEWUTS = 0x04000000;
const CLONE_NEWIPC = 0x08000000;
const AT_FDCWD = -100;
const O_CLOEXEC = 0o2000000;

const utsPath = Buffer.from("/proc/thread-self/ns/uts\0");
const ipcPath = Buffer.from("/proc/thread-self/ns/ipc\0");

let own: { uts: number; ipc: number } | undefined;

/**
 * New UTS and IPC namespaces at `uts` and `ipc`. As with network namespaces (sys/netns.ts) the calling thread alone leaves
 * ours, and does nothing but the system calls below until it is back.
 */
export function createUtsAndIpc(paths: { uts?: string; ipc?: string }): void {
  const flags = (paths.uts === undefined ? 0 : CLONE_NEWUTS) | (paths.ipc === undefined ? 0 : CLONE_NEWIPC);
  if (flags === 0) return;
  own ??= { uts: openSync("/proc/self/ns/uts", "r"), ipc: openSync("/proc/self/ns/ipc", "r") };
  const back = own;
  const utsAddress = Number(addressOf(utsPath));
  const ipcAddress = Number(addressOf(ipcPath));
  const left = bareSyscall("unshare", flags);
  if (left < 0) throw new SyscallError("unshare", -left, "UTS and IPC namespaces");
  const uts = bareSyscall("openat", AT_FDCWD, utsAddress, O_CLOEXEC);
  const ipc = bareSyscall("openat", AT_FDCWD, ipcAddress, O_CLOEXEC);
  const returned =
    bareSyscall("setns", back.uts, CLONE_NEWUTS) | bareSyscall("setns", back.ipc, CLONE_NEWIPC);
  if (returned !== 0) {
    process.stderr.write("cannot return to the server's own namespaces; aborting\n");
    process.abort();
  }
  try {
    if (uts < 0 || ipc < 0) throw internal("cannot open a new namespace");
    if (paths.uts !== undefined) bindNetns(uts, paths.uts);
    if (paths.ipc !== undefined) bindNetns(ipc, paths.ipc);
  } finally {
    for (const fd of [uts, ipc]) if (fd >= 0) closeSync(fd);
  }
}

/** Unbinds and removes a namespace's file. */
export const removeNamespace = removeNetns;

/** The paths of this machine where a namespace is mounted. */
export function mountedNamespaces(): Set<string> {
  const found = new Set<string>();
  for (const line of readFileSync("/proc/self/mountinfo", "utf8").split("\n")) {
    const fields = line.split(" ");
    if (line.includes(" - nsfs ")) found.add(fields[4]!);
  }
  return found;
}
