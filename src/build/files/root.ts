/**
 * Directory trees entered by a descriptor of their root. Paths are byte strings (latin1), relative to the root and
 * without a leading slash; "" is the root. The kernel keeps every lookup inside (RESOLVE_IN_ROOT).
 */
import { baseOf, join, parentOf } from "../../archive/paths.ts";
import { cString } from "../../sys/directory.ts";
import { rawSyscall, SyscallError } from "../../sys/libc.ts";
import { O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_PATH, O_RDONLY } from "../../sys/open.ts";
import { openInRoot } from "../../sys/rootfs/index.ts";
import { AT_FDCWD, S_IFLNK, S_IFMT, statAt } from "../../sys/stat.ts";

export const ENOENT = -2;
export const EEXIST = -17;
export const ENOTDIR = -20;
const maxLinks = 255;

export const toBytes = (text: string): string => Buffer.from(text).toString("latin1");
export const fromBytes = (bytes: string): string => Buffer.from(bytes, "latin1").toString();

/** Paths as BuildKit's errors show them. */
export const shown = (path: string): string => `/${fromBytes(path)}`;

/** A path by name alone: no empty, `.` or `..` parts; `..` at the root stays there. */
export function cleanInRoot(path: string): string {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return parts.join("/");
}

export class Root implements Disposable {
  readonly fd: number;
  /** What /proc calls the root: detached mounts are `/`. */
  readonly #prefix: string;

  /** Takes the descriptor over. */
  constructor(fd: number) {
    this.fd = fd;
    this.#prefix = pathOf(fd);
  }

  static open(path: string): Root {
    const fd = rawSyscall("openat", AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) throw new SyscallError("open", -fd, path);
    return new Root(fd);
  }

  /** A descriptor or the negative errno; links are followed inside of the root. */
  open(path: string, flags: number, mode = 0): number {
    return openInRoot(this.fd, cString(path === "" ? "." : path), flags, mode);
  }

  /** A directory to read and to make entries in; or the negative errno. */
  openDirectory(path: string): number {
    return this.open(path, O_RDONLY | O_DIRECTORY);
  }

  /** Where an open descriptor is, from the root. */
  locate(fd: number): string {
    const path = pathOf(fd);
    if (path === this.#prefix) return "";
    return path.slice(this.#prefix === "/" ? 1 : this.#prefix.length + 1);
  }

  /**
   * What `path` comes to when all links in it are followed inside of the root, the last one too. What does not exist
   * is taken by name, also behind a link that leads to nothing.
   */
  resolve(path: string, links = 0): string {
    const clean = cleanInRoot(path);
    if (clean === "") return "";
    const fd = this.open(clean, O_PATH);
    if (fd >= 0) {
      try {
        return this.locate(fd);
      } finally {
        rawSyscall("close", fd);
      }
    }
    if (fd !== ENOENT || links > maxLinks) throw new SyscallError("lstat", -fd, shown(clean));
    const parent = this.resolve(parentOf(clean), links);
    const name = baseOf(clean);
    const target = this.#readLink(parent, name);
    if (target === undefined) return join(parent, name);
    return this.resolve(target.startsWith("/") ? target : join(parent, target), links + 1);
  }

  #readLink(parent: string, name: string): string | undefined {
    const fd = this.open(parent, O_PATH | O_DIRECTORY);
    if (fd < 0) return undefined;
    try {
      const stat = statAt(fd, cString(name));
      if (!stat || (stat.mode & S_IFMT) !== S_IFLNK) return undefined;
      return readLinkAt(fd, cString(name));
    } finally {
      rawSyscall("close", fd);
    }
  }

  /** Runs `work` with the directory that `path`'s last name is in; undefined when there is no such directory. */
  withParent<T>(path: string, work: (fd: number, name: string) => T): T | undefined {
    const fd = this.open(parentOf(path), O_PATH | O_DIRECTORY);
    if (fd === ENOENT || fd === ENOTDIR) return undefined;
    if (fd < 0) throw new SyscallError("open", -fd, shown(path));
    try {
      return work(fd, baseOf(path));
    } finally {
      rawSyscall("close", fd);
    }
  }

  [Symbol.dispose](): void {
    rawSyscall("close", this.fd);
  }
}

/** A child directory, never through a link. */
export function enter(parent: number, name: Uint8Array): number {
  return rawSyscall("openat", parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

const linkBuffer = Buffer.alloc(4096);

export function readLinkAt(parent: number, name: Uint8Array): string {
  const length = rawSyscall("readlinkat", parent, name, linkBuffer, linkBuffer.length);
  if (length < 0) throw new SyscallError("readlink", -length);
  return linkBuffer.toString("latin1", 0, length);
}

function pathOf(fd: number): string {
  return readLinkAt(AT_FDCWD, Buffer.from(`/proc/self/fd/${fd}\0`));
}
