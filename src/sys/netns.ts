import { closeSync, mkdirSync, openSync, unlinkSync } from "node:fs";
import { dirname } from "node:path";
import { internal } from "../base/errors.ts";
import { bareSyscall, rawSyscall, SyscallError, syscall } from "./libc.ts";
import { AF_NETLINK, NETLINK_ROUTE, NETLINK_SOCKET_TYPE, NetlinkSocket } from "./netlink/socket.ts";

const CLONE_NEWNET = 0x40000000;
const MS_BIND = 4096;
const MNT_DETACH = 2;
const SIOCGSKNS = 0x894c;
const AT_FDCWD = -100;
const EINVAL = 22;
const ENOENT = 2;

let own: number | undefined;

/** The namespace this process started in: what every switch returns to. Opened before the first switch. */
function ownNetns(): number {
  own ??= openSync("/proc/self/ns/net", "r");
  return own;
}

/** Going back must not fail half: the engine would go on in a container's network. */
function goBack(back: number): void {
  const result = bareSyscall("setns", back, CLONE_NEWNET);
  if (result === 0) return;
  process.stderr.write(`cannot return to the engine's network namespace (errno ${-result}); aborting\n`);
  process.abort();
}

/**
 * A netlink socket of another network namespace, or of a new one. A socket stays in the namespace it was
 * opened in, so everything else is done through it from outside.
 *
 * Why this is safe on the engine's main thread: `setns` and `unshare` concern the calling thread only, no
 * JavaScript runs before the thread is back, and other threads keep their namespace. What would not be
 * harmless is a thread that the engine starts while the main one is away (garbage collection and the
 * compiler do so on demand): it would stay there and hold the namespace. That is why there is exactly one system
 * call between leaving and coming back, and nothing that allocates.
 */
function openSocketAway(
  leave: "setns" | "unshare",
  netns: number,
  protocol: number,
  what: string,
): NetlinkSocket {
  const back = ownNetns();
  const left =
    leave === "setns" ? bareSyscall("setns", netns, CLONE_NEWNET) : bareSyscall("unshare", CLONE_NEWNET);
  if (left < 0) throw new SyscallError(leave, -left, what);
  const socket = bareSyscall("socket", AF_NETLINK, NETLINK_SOCKET_TYPE, protocol);
  goBack(back);
  if (socket < 0) throw new SyscallError("socket", -socket, what);
  return new NetlinkSocket(protocol, socket);
}

/** Opens a netlink socket in the namespace of a file (or a descriptor of one). */
export function openNetlinkIn(netns: number | string, protocol: number): NetlinkSocket {
  if (typeof netns === "number") return openSocketAway("setns", netns, protocol, "network namespace");
  const fd = openSync(netns, "r");
  try {
    return openSocketAway("setns", fd, protocol, netns);
  } finally {
    closeSync(fd);
  }
}

/**
 * A new network namespace, which lives as long as the descriptor, the socket, or what is bound to it.
 * About 0.4 ms, nearly all of it the kernel's `unshare`.
 */
export function openNewNetns(protocol: number): { fd: number; socket: NetlinkSocket } {
  const socket = openSocketAway("unshare", -1, protocol, "network namespace");
  try {
    return { fd: syscall("ioctl", [socket.fd, SIOCGSKNS], "network namespace of a socket"), socket };
  } catch (error) {
    socket.close();
    throw error;
  }
}

/**
 * Runs `work` with the calling thread in another network namespace: for what cannot be done through a socket
 * opened there. `work` must be synchronous and small; see `openSocketAway` on what it may leave behind.
 */
export function withNetns<T>(netns: number | string, work: () => T): T {
  const back = ownNetns();
  const fd = typeof netns === "number" ? netns : openSync(netns, "r");
  try {
    syscall("setns", [fd, CLONE_NEWNET], typeof netns === "string" ? netns : "network namespace");
    try {
      const result = work();
      if (result instanceof Promise) throw internal("withNetns: the work must be synchronous");
      return result;
    } finally {
      goBack(back);
    }
  } finally {
    if (typeof netns === "string") closeSync(fd);
  }
}

/** Binds a namespace to a file, which keeps it alive without any process. The file must not be there yet. */
export function bindNetns(fd: number, path: string): void {
  let file: number;
  try {
    file = openSync(path, "wx", 0o444);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    mkdirSync(dirname(path), { recursive: true, mode: 0o711 });
    file = openSync(path, "wx", 0o444);
  }
  closeSync(file);
  const result = rawSyscall("mount", `/proc/self/fd/${fd}`, path, null, MS_BIND, null);
  if (result === 0) return;
  unlinkSync(path);
  throw new SyscallError("mount", -result, path);
}

/** A new network namespace, bound to `path`. It has only a loopback interface that is down. */
export function createNetns(path: string): void {
  const { fd, socket } = openNewNetns(NETLINK_ROUTE);
  socket.close();
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
  const result = rawSyscall("unlinkat", AT_FDCWD, path, 0);
  if (result < 0 && result !== -ENOENT) throw new SyscallError("unlink", -result, path);
}
