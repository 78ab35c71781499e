/**
 * Extended attributes. Values are bytes; names are kept as latin1 byte strings. There is no `…at` variant on
 * kernels in use, so an entry is named through its directory's descriptor in /proc: the last component is
 * not followed (the `l` calls), the directory cannot change under us.
 */
import { rawSyscall, SyscallError, syscall } from "./libc.ts";

export interface Xattr {
  name: string;
  value: Uint8Array;
}

const ENODATA = -61;
const EOPNOTSUPP = -95;
const ERANGE = -34;

/** The path under which `name` (latin1 bytes) of `dirFd` is reached without following it. */
function entryPath(dirFd: number, name: string): Uint8Array {
  return Buffer.from(`/proc/self/fd/${dirFd}/${name}\0`, "latin1");
}

function terminated(name: string): Uint8Array {
  return Buffer.from(`${name}\0`, "latin1");
}

/** All attributes of an entry itself, sorted by name; none where the file system has no attributes. */
export function listXattrsAt(dirFd: number, name: string): Xattr[] {
  const path = entryPath(dirFd, name);
  let list = Buffer.allocUnsafe(1024);
  let length = rawSyscall("llistxattr", path, list, list.length);
  if (length === 0 || length === EOPNOTSUPP) return [];
  if (length === ERANGE) {
    list = Buffer.allocUnsafe(64 << 10);
    length = rawSyscall("llistxattr", path, list, list.length);
  }
  if (length < 0) throw new SyscallError("llistxattr", -length, name);
  const found: Xattr[] = [];
  for (const attribute of list.toString("latin1", 0, length).split("\0")) {
    if (attribute === "") continue;
    const value = getXattr(path, attribute);
    if (value) found.push({ name: attribute, value });
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

function getXattr(path: Uint8Array, attribute: string): Uint8Array | undefined {
  const size = rawSyscall("lgetxattr", path, terminated(attribute), null, 0);
  if (size === ENODATA || size === EOPNOTSUPP) return undefined;
  if (size < 0) throw new SyscallError("lgetxattr", -size, attribute);
  if (size === 0) return new Uint8Array(0);
  const value = new Uint8Array(size);
  const got = rawSyscall("lgetxattr", path, terminated(attribute), value, size);
  if (got < 0) return undefined;
  return value.subarray(0, got);
}

/** One attribute of an entry itself, undefined when it has none of that name. */
export function getXattrAt(dirFd: number, name: string, attribute: string): Uint8Array | undefined {
  return getXattr(entryPath(dirFd, name), attribute);
}

/** Sets an attribute of the entry itself; returns 0 or the negative errno, the caller knows which may be ignored. */
export function trySetXattrAt(dirFd: number, name: string, attribute: string, value: Uint8Array): number {
  return rawSyscall("lsetxattr", entryPath(dirFd, name), terminated(attribute), value, value.length, 0);
}

/** Sets an attribute of the entry itself. */
export function setXattrAt(dirFd: number, name: string, attribute: string, value: Uint8Array): void {
  syscall(
    "lsetxattr",
    [entryPath(dirFd, name), terminated(attribute), value, value.length, 0],
    `${attribute} of ${name}`,
  );
}

/** Sets an attribute of an open file; returns 0 or the negative errno. */
export function trySetXattrFd(fd: number, attribute: string, value: Uint8Array): number {
  return rawSyscall("fsetxattr", fd, terminated(attribute), value, value.length, 0);
}
