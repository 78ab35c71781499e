import { invalid } from "../../base/errors.ts";
import { rawSyscall, SyscallError } from "../../sys/libc.ts";
import { O_NONBLOCK, O_RDONLY } from "../../sys/open.ts";
import { S_IFMT, S_IFREG, statFd } from "../../sys/stat.ts";
import type { FileOwner } from "../graph.ts";
import { ENOENT, ENOTDIR, type Root } from "./root.ts";

export interface Owner {
  uid: number;
  gid: number;
}

/** BuildKit's bound. */
const maxFile = 10 << 20;
const maxId = 2 ** 32 - 2;

/**
 * The owner that --chown names. A user by number gets the group of the same number, one by name that of /etc/passwd. As
 * with BuildKit a name that is not in the base's files is root; `onMissing` is told.
 */
export function resolveOwner(owner: FileOwner, base: Root, onMissing: (what: string) => void): Owner {
  const found: Owner = { uid: 0, gid: 0 };
  const user = idOf(owner.user);
  if (user !== undefined) {
    found.uid = user;
    found.gid = user;
  } else if (owner.user !== "") {
    const entry = findEntry(base, "etc/passwd", owner.user);
    if (entry) {
      found.uid = idOf(entry[2] ?? "") ?? 0;
      found.gid = idOf(entry[3] ?? "") ?? 0;
    } else onMissing(`user ${owner.user} is not in /etc/passwd of the base, its files belong to root`);
  }
  if (owner.group !== undefined && owner.group !== "") {
    const group = idOf(owner.group);
    if (group !== undefined) found.gid = group;
    else {
      const entry = findEntry(base, "etc/group", owner.group);
      if (entry) found.gid = idOf(entry[2] ?? "") ?? 0;
      else onMissing(`group ${owner.group} is not in /etc/group of the base`);
    }
  }
  return found;
}

function idOf(text: string): number | undefined {
  if (!/^\d{1,10}$/.test(text)) return undefined;
  const id = Number(text);
  if (id > maxId) throw invalid(`uid or gid ${text} is out of range`);
  return id;
}

function findEntry(base: Root, path: string, name: string): string[] | undefined {
  for (const line of readSmall(base, path).split("\n")) {
    const fields = line.trim().split(":");
    if (fields[0] === name && fields.length > 2) return fields;
  }
  return undefined;
}

function readSmall(base: Root, path: string): string {
  const bytes = readFileIn(base, path, maxFile);
  return bytes ? Buffer.from(bytes).toString() : "";
}

/** A regular file inside a root, links followed; undefined when there is none. Longer than `limit` is an error, or cut with `head`. */
export function readFileIn(
  root: Root,
  path: string,
  limit: number,
  options: { head?: boolean } = {},
): Uint8Array | undefined {
  const fd = root.open(path, O_RDONLY | O_NONBLOCK);
  if (fd === ENOENT || fd === ENOTDIR) return undefined;
  if (fd < 0) throw new SyscallError("open", -fd, `/${path}`);
  try {
    const stat = statFd(fd);
    if ((stat.mode & S_IFMT) !== S_IFREG) throw invalid(`/${path} is not a regular file`);
    if (stat.size > limit && !options.head)
      throw invalid(`/${path} has ${stat.size} bytes, more than ${limit}`);
    const bytes = Buffer.alloc(Math.min(stat.size, limit));
    let length = 0;
    while (length < bytes.length) {
      const got = rawSyscall("read", fd, bytes.subarray(length), bytes.length - length);
      if (got < 0) throw new SyscallError("read", -got, `/${path}`);
      if (got === 0) break;
      length += got;
    }
    return bytes.subarray(0, length);
  } finally {
    rawSyscall("close", fd);
  }
}
