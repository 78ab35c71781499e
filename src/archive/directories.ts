/**
 * The directories of a layer's target: opened inside the root, made when missing, kept open while entries
 * go on naming them.
 */
import { conflict } from "../base/errors.ts";
import { cString, displayName, removeTreeAt } from "../sys/directory.ts";
import { rawSyscall, SyscallError } from "../sys/libc.ts";
import { O_CLOEXEC, O_DIRECTORY, O_PATH, O_RDONLY } from "../sys/open.ts";
import { openInRoot } from "../sys/rootfs/index.ts";
import { AT_FDCWD, S_IFCHR, S_IFDIR, S_IFLNK, S_IFMT, type Stat, statAt } from "../sys/stat.ts";
import { trySetXattrAt } from "../sys/xattr.ts";
import { copyMetadata } from "./copy-file.ts";
import type { LowerLayers } from "./lowers.ts";
import { baseOf, cleanPath, join, parentOf } from "./paths.ts";

const maxOpen = 64;
const maxSymlinks = 40;
const ENOENT = -2;
const EEXIST = -17;
const ENOTDIR = -20;

export const isWhiteout = (stat: Stat) => (stat.mode & S_IFMT) === S_IFCHR && stat.rdev === 0n;

export class Directories implements Disposable {
  readonly rootFd: number;
  /** Set for an overlay's upper directory: the directories below it, for attributes of parents. */
  readonly #lowers: LowerLayers | undefined;
  readonly #open = new Map<string, number>();
  #stale = false;

  constructor(root: string, lowers?: LowerLayers) {
    this.rootFd = rawSyscall("openat", AT_FDCWD, root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (this.rootFd < 0) throw new SyscallError("open", -this.rootFd, root);
    this.#lowers = lowers;
  }

  get isOverlay(): boolean {
    return this.#lowers !== undefined;
  }

  /**
   * A descriptor of the directory at `path`, made with its parents when it is missing. It belongs to the
   * cache and is good until a lookup after the next removal.
   */
  enter(path: string): number {
    this.#refresh();
    return this.#cached(path) ?? this.#remember(path, this.#ensure(path, 0));
  }

  /** As `enter`, but undefined where there is no such directory. */
  find(path: string): number | undefined {
    this.#refresh();
    const cached = this.#cached(path);
    if (cached !== undefined) return cached;
    const fd = openInRoot(this.rootFd, cString(path || "."), O_RDONLY | O_DIRECTORY);
    if (fd === ENOENT || fd === ENOTDIR) return undefined;
    if (fd < 0) throw new SyscallError("open", -fd, displayName(path));
    return this.#remember(path, fd);
  }

  /** Takes a descriptor the caller opened of `path`. */
  adopt(path: string, fd: number): void {
    const before = this.#open.get(path);
    if (before !== undefined) rawSyscall("close", before);
    this.#open.delete(path);
    this.#remember(path, fd);
  }

  /** Something was removed, so paths may lead elsewhere: from the next lookup on they are opened anew. */
  markStale(): void {
    this.#stale = true;
  }

  #refresh(): void {
    if (this.#stale) this.#forget();
  }

  #forget(): void {
    this.#stale = false;
    for (const fd of this.#open.values()) rawSyscall("close", fd);
    this.#open.clear();
  }

  /** A hit becomes the youngest, so that the descriptors one entry needs never push each other out. */
  #cached(path: string): number | undefined {
    const fd = this.#open.get(path);
    if (fd === undefined) return undefined;
    this.#open.delete(path);
    this.#open.set(path, fd);
    return fd;
  }

  #remember(path: string, fd: number): number {
    if (this.#open.size >= maxOpen) {
      const [oldest, oldFd] = this.#open.entries().next().value!;
      rawSyscall("close", oldFd);
      this.#open.delete(oldest);
    }
    this.#open.set(path, fd);
    return fd;
  }

  #ensure(path: string, depth: number): number {
    const name = cString(path || ".");
    const fd = openInRoot(this.rootFd, name, O_RDONLY | O_DIRECTORY);
    if (fd >= 0) return fd;
    if ((fd !== ENOENT && fd !== ENOTDIR) || path === "")
      throw new SyscallError("open", -fd, `directory ${displayName(path)}`);
    if (depth > maxSymlinks) throw new SyscallError("open", 40, `directory ${displayName(path)}`);
    const parent = this.#ensure(parentOf(path), depth);
    try {
      this.#make(parent, path, depth);
    } finally {
      rawSyscall("close", parent);
    }
    const made = openInRoot(this.rootFd, name, O_RDONLY | O_DIRECTORY);
    if (made < 0) throw new SyscallError("open", -made, `directory ${displayName(path)}`);
    return made;
  }

  /** Makes the last component of `path`, as the layers below have it when they do. */
  #make(parent: number, path: string, depth: number): void {
    const name = baseOf(path);
    const existing = statAt(parent, cString(name));
    if (existing && isWhiteout(existing) && this.isOverlay) {
      // The layer removed what was there and now puts something below the same name.
      removeTreeAt(parent, name);
      this.#mkdir(parent, name);
      setOpaque(parent, name);
      return;
    }
    if (existing) {
      if ((existing.mode & S_IFMT) !== S_IFLNK)
        throw conflict(`layer: ${displayName(path)} is not a directory, an entry below it cannot be made`);
      this.#followDangling(parent, path, depth);
      return;
    }
    const lower = this.#lowers?.find(path);
    try {
      const type = lower ? lower.stat.mode & S_IFMT : 0;
      if (lower && type === S_IFLNK) {
        const made = rawSyscall("symlinkat", cString(lower.readlink()), parent, cString(name));
        if (made < 0 && made !== EEXIST) throw new SyscallError("symlink", -made, displayName(path));
        copyMetadata(lower.parentFd, lower.name, lower.stat, parent, name);
        this.#followDangling(parent, path, depth + 1);
        return;
      }
      this.#mkdir(parent, name);
      if (lower && type === S_IFDIR) copyMetadata(lower.parentFd, lower.name, lower.stat, parent, name);
    } finally {
      lower?.close();
    }
  }

  #mkdir(parent: number, name: string): void {
    const made = rawSyscall("mkdirat", parent, cString(name), 0o755);
    if (made < 0) throw new SyscallError("mkdir", -made, displayName(name));
    rawSyscall("fchmodat", parent, cString(name), 0o755);
  }

  /** A symlink to a directory that is not there yet: its target is made, inside the root. */
  #followDangling(parent: number, path: string, depth: number): void {
    const buffer = Buffer.alloc(4096);
    const length = rawSyscall("readlinkat", parent, cString(baseOf(path)), buffer, buffer.length);
    if (length < 0) throw new SyscallError("readlink", -length, displayName(path));
    const target = buffer.toString("latin1", 0, length);
    const whole = target.startsWith("/") ? target : join(parentOf(path), target);
    const fd = this.#ensure(clampedPath(whole), depth + 1);
    rawSyscall("close", fd);
  }

  [Symbol.dispose](): void {
    this.#forget();
    rawSyscall("close", this.rootFd);
  }
}

/** A symlink's target by name; `..` at the root stays there, as the kernel has it. */
function clampedPath(path: string): string {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return cleanPath(parts.join("/"), "symlink");
}

/** Marks a directory of an overlay's upper so that nothing of the layers below shows through it. */
export function setOpaque(parentFd: number, name: string): void {
  const result = trySetXattrAt(parentFd, name, "trusted.overlay.opaque", Buffer.from("y"));
  if (result < 0)
    throw new SyscallError("setxattr", -result, `trusted.overlay.opaque of ${displayName(name)}`);
}
