import { rawSyscall, SyscallError, syscall } from "./libc.ts";
import { O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_RDONLY } from "./open.ts";
import { AT_REMOVEDIR } from "./stat.ts";

/** `d_type` of a directory entry (getdents64(2)); 0 when the file system does not say. */
export const DT_DIR = 4;

export interface DirectoryEntry {
  /** The name's bytes, one per character (latin1): names need not be UTF-8. */
  name: string;
  type: number;
}

/** The entries of an open directory without `.` and `..`, in the file system's order. Reads from the start. */
export function readDirectory(fd: number): DirectoryEntry[] {
  const buffer = Buffer.allocUnsafe(32 << 10);
  const entries: DirectoryEntry[] = [];
  for (;;) {
    const length = syscall("getdents64", [fd, buffer, buffer.length]);
    if (length === 0) return entries;
    for (let at = 0; at < length; ) {
      const size = buffer.readUInt16LE(at + 16);
      const name = buffer.toString("latin1", at + 19, buffer.indexOf(0, at + 19));
      if (name !== "." && name !== "..") entries.push({ name, type: buffer[at + 18]! });
      at += size;
    }
  }
}

/** The NUL-terminated bytes of a latin1 byte string, as system calls take them. */
export function cString(bytes: string): Uint8Array {
  return Buffer.from(`${bytes}\0`, "latin1");
}

/** Opens `name` (latin1 bytes) below `dirFd` as a directory, never through a symlink. */
export function openDirectoryAt(dirFd: number, name: string): number {
  return syscall(
    "openat",
    [dirFd, cString(name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC],
    displayName(name),
  );
}

/** Latin1 bytes as text for messages. */
export function displayName(bytes: string): string {
  return JSON.stringify(Buffer.from(bytes, "latin1").toString("utf8"));
}

/**
 * Removes `name` (latin1 bytes) below `dirFd` with everything in it, like `rm -rf`: nothing is followed,
 * a missing entry is fine. Depth costs one descriptor per level, bounded by what the process may open.
 */
export function removeTreeAt(dirFd: number, name: string): void {
  const path = cString(name);
  const unlinked = rawSyscall("unlinkat", dirFd, path, 0);
  if (unlinked === 0 || unlinked === -2) return;
  // EISDIR is what Linux says for a directory; EPERM what POSIX allows.
  if (unlinked !== -21 && unlinked !== -1) throw new SyscallError("unlinkat", -unlinked, displayName(name));
  const fd = openDirectoryAt(dirFd, name);
  try {
    removeContents(fd);
  } finally {
    rawSyscall("close", fd);
  }
  const removed = rawSyscall("unlinkat", dirFd, path, AT_REMOVEDIR);
  if (removed < 0 && removed !== -2) throw new SyscallError("rmdir", -removed, displayName(name));
}

/** Empties an open directory. */
export function removeContents(fd: number): void {
  for (const entry of readDirectory(fd)) removeTreeAt(fd, entry.name);
}
