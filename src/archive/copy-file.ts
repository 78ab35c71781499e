/** Copies one entry of a tree with everything the kernel keeps about it. */
import { cString, displayName } from "../sys/directory.ts";
import { rawSyscall, SyscallError, syscall } from "../sys/libc.ts";
import { O_CLOEXEC, O_CREAT, O_EXCL, O_NOFOLLOW, O_RDONLY, O_WRONLY } from "../sys/open.ts";
import { setTimesAt } from "../sys/rootfs/index.ts";
import { AT_SYMLINK_NOFOLLOW, S_IFLNK, S_IFMT, type Stat } from "../sys/stat.ts";
import { listXattrsAt, trySetXattrAt } from "../sys/xattr.ts";

const FICLONE = 0x40049409;
const EOPNOTSUPP = -95;

/** Owner, mode, attributes and times of an entry, in the order in which none undoes another. */
export function copyMetadata(
  fromFd: number,
  fromName: string,
  stat: Stat,
  toFd: number,
  toName: string,
): void {
  const name = cString(toName);
  syscall("fchownat", [toFd, name, stat.uid, stat.gid, AT_SYMLINK_NOFOLLOW], displayName(toName));
  if ((stat.mode & S_IFMT) !== S_IFLNK)
    syscall("fchmodat", [toFd, name, stat.mode & 0o7777], displayName(toName));
  for (const { name: attribute, value } of listXattrsAt(fromFd, fromName)) {
    if (attribute.startsWith("trusted.overlay.")) continue;
    const result = trySetXattrAt(toFd, toName, attribute, value);
    if (result < 0 && result !== EOPNOTSUPP)
      throw new SyscallError("setxattr", -result, `${attribute} of ${displayName(toName)}`);
  }
  setTimesAt(toFd, name, stat.atimeNs, stat.mtimeNs);
}

/** The data of a regular file into a new file: shared blocks where the file system can, else copied in the kernel. */
export function copyData(fromFd: number, fromName: string, toFd: number, toName: string, size: number): void {
  const from = syscall(
    "openat",
    [fromFd, cString(fromName), O_RDONLY | O_NOFOLLOW | O_CLOEXEC],
    displayName(fromName),
  );
  try {
    const to = syscall(
      "openat",
      [toFd, cString(toName), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600],
      displayName(toName),
    );
    try {
      copyBytes(from, to, size, toName);
    } finally {
      rawSyscall("close", to);
    }
  } finally {
    rawSyscall("close", from);
  }
}

function copyBytes(from: number, to: number, size: number, name: string): void {
  if (size === 0 || rawSyscall("ioctl", to, FICLONE, from) === 0) return;
  for (let left = size; left > 0; ) {
    const copied = rawSyscall("copy_file_range", from, null, to, null, left, 0);
    // EXDEV, EINVAL and EOPNOTSUPP: file systems that cannot copy among themselves.
    if (copied === -18 || copied === -22 || copied === EOPNOTSUPP) {
      copyThrough(from, to, name);
      return;
    }
    if (copied < 0) throw new SyscallError("copy_file_range", -copied, displayName(name));
    if (copied === 0) return;
    left -= copied;
  }
}

function copyThrough(from: number, to: number, name: string): void {
  const buffer = Buffer.allocUnsafe(1 << 20);
  for (;;) {
    const length = syscall("read", [from, buffer, buffer.length], displayName(name));
    if (length === 0) return;
    writeFully(to, buffer.subarray(0, length), name);
  }
}

/** write(2) until all is written. */
export function writeFully(fd: number, bytes: Uint8Array, name: string): void {
  for (let at = 0; at < bytes.length; ) {
    const wrote = rawSyscall("write", fd, at === 0 ? bytes : bytes.subarray(at), bytes.length - at);
    if (wrote < 0) {
      if (wrote === -4) continue;
      throw new SyscallError("write", -wrote, displayName(name));
    }
    at += wrote;
  }
}
