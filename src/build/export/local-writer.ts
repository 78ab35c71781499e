/** Writes trees into a directory of this host. It is held by a descriptor, and no link in it is ever followed. */
import { mkdirSync, openSync } from "node:fs";
import { copyData, writeFully } from "../../archive/copy-file.ts";
import { cString, displayName, openDirectoryAt, readDirectory, removeTreeAt } from "../../sys/directory.ts";
import { rawSyscall, SyscallError, syscall } from "../../sys/libc.ts";
import { O_CLOEXEC, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_RDONLY, O_WRONLY } from "../../sys/open.ts";
import { setTimesAt } from "../../sys/rootfs/index.ts";
import {
  AT_SYMLINK_NOFOLLOW,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  type Stat,
  statAt,
} from "../../sys/stat.ts";
import { trySetXattrAt } from "../../sys/xattr.ts";
import type { RootfsWriter } from "./rootfs-output.ts";
import { clampTime, fileXattrs, linkTarget, twice } from "./tar-writer.ts";
import { type TreeEntry, walkTree } from "./tree.ts";

export interface LocalOptions {
  signal: AbortSignal;
  epoch?: number;
  exclusive: boolean;
  /** mode=delete: what was there before and is not of the result is removed, once all of that is written. */
  mirror: boolean;
  /** Who owns all of it, as with buildx: whoever asked, not who is named in the image. */
  owner: { uid: number; gid: number };
}

const EPERM = -1;
const EEXIST = -17;

/**
 * Adds files to what is there, as buildx does: a file or link of the same name is replaced, a directory is filled. Modes
 * and times are the image's. With `mirror` nothing else stays.
 */
export class LocalWriter implements RootfsWriter {
  readonly #options: LocalOptions;
  readonly #root: number;
  readonly #written = new Set<string>();
  /** Paths from the root of all that was written, to mirror it. */
  readonly #kept = new Set<string>();
  #folder = "";
  readonly #folders: string[] = [];
  /** The platform's directory. */
  #base: number;
  #links = new Map<string, { parents: string[]; name: string }>();
  /** Descriptors of the directories that lead to where the walk is, the base first. */
  #stack: number[] = [];

  constructor(directory: string, options: LocalOptions) {
    this.#options = options;
    mkdirSync(directory, { recursive: true });
    this.#root = openSync(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    this.#base = this.#root;
  }

  close(): void {
    for (const fd of [
      ...this.#stack.slice(1),
      ...(this.#base === this.#root ? [] : [this.#base]),
      this.#root,
    ])
      rawSyscall("close", fd);
    this.#stack = [];
    this.#base = this.#root;
  }

  async begin(folder: string): Promise<void> {
    this.#links = new Map();
    if (this.#base !== this.#root) rawSyscall("close", this.#base);
    this.#base = this.#root;
    this.#folder = "";
    if (folder === "") return;
    this.#kept.add(folder);
    this.#folders.push(folder);
    this.#folder = `${folder}/`;
    this.#base = this.#directory(this.#root, folder);
    this.#own(this.#root, folder, 0o755);
  }

  async tree(rootFd: number): Promise<void> {
    this.#stack = [this.#base];
    await walkTree(
      rootFd,
      { enter: (entry) => this.#enter(entry), leave: (entry) => this.#leave(entry) },
      this.#options.signal,
    );
    this.#stack = [];
  }

  async file(name: string, data: Uint8Array): Promise<void> {
    this.#kept.add(this.#folder + name);
    removeTreeAt(this.#base, name);
    const flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    const fd = syscall("openat", [this.#base, cString(name), flags, 0o600], displayName(name));
    try {
      writeFully(fd, data, name);
    } finally {
      rawSyscall("close", fd);
    }
    this.#own(this.#base, name, 0o644);
  }

  async end(): Promise<void> {
    this.#removeOthers(this.#root, "");
    for (const folder of this.#folders) {
      const fd = openDirectoryAt(this.#root, folder);
      try {
        this.#removeOthers(fd, `${folder}/`);
      } finally {
        rawSyscall("close", fd);
      }
    }
  }

  /** With `mirror`: what is in a directory without being of the result. */
  #removeOthers(dirFd: number, prefix: string): void {
    if (!this.#options.mirror) return;
    for (const { name } of readDirectory(dirFd))
      if (!this.#kept.has(prefix + name)) removeTreeAt(dirFd, name);
  }

  #enter({ dirFd, name, path, stat }: TreeEntry): void {
    const into = this.#stack.at(-1)!;
    this.#kept.add(this.#folder + path);
    const type = stat.mode & S_IFMT;
    if (type === S_IFDIR) {
      this.#stack.push(this.#directory(into, name));
      return;
    }
    if (this.#options.exclusive) {
      if (this.#written.has(path)) throw twice(path);
      this.#written.add(path);
    }
    removeTreeAt(into, name);
    if (stat.nlink > 1 && this.#linked(into, name, path, stat)) return;
    if (type === S_IFREG) copyData(dirFd, name, into, name, stat.size);
    else if (type === S_IFLNK)
      syscall("symlinkat", [cString(linkTarget(dirFd, name)), into, cString(name)], displayName(path));
    else {
      const made = rawSyscall("mknodat", into, cString(name), type | 0o600, stat.rdev);
      // Devices are for the privileged; whoever may not make them does without.
      if (made === EPERM && (type === S_IFCHR || type === S_IFBLK)) return;
      if (made < 0) throw new SyscallError("mknod", -made, displayName(path));
    }
    this.#attributes(dirFd, into, name, stat);
  }

  #leave({ dirFd, name, path, stat }: TreeEntry): void {
    const fd = this.#stack.pop()!;
    // Before the directory's times are set.
    this.#removeOthers(fd, `${this.#folder}${path}/`);
    rawSyscall("close", fd);
    this.#attributes(dirFd, this.#stack.at(-1)!, name, stat);
  }

  /** True when the entry became another name of a file that was written before. */
  #linked(into: number, name: string, path: string, stat: Stat): boolean {
    const key = `${stat.dev}:${stat.ino}`;
    const first = this.#links.get(key);
    if (!first) {
      const parents = path.split("/");
      parents.pop();
      this.#links.set(key, { parents, name });
      return false;
    }
    // Step by step, so that no link that somebody puts there is followed.
    const open: number[] = [];
    try {
      let at = this.#base;
      for (const parent of first.parents) {
        at = openDirectoryAt(at, parent);
        open.push(at);
      }
      syscall("linkat", [at, cString(first.name), into, cString(name), 0], displayName(path));
    } finally {
      for (const fd of open) rawSyscall("close", fd);
    }
    return true;
  }

  /** Opens a directory, which is made when it is missing and replaces what is none. */
  #directory(into: number, name: string): number {
    for (let attempt = 0; ; attempt++) {
      const made = rawSyscall("mkdirat", into, cString(name), 0o700);
      if (made < 0 && made !== EEXIST) throw new SyscallError("mkdir", -made, displayName(name));
      if (made === EEXIST && (statAt(into, cString(name))?.mode ?? 0) >> 12 !== S_IFDIR >> 12) {
        removeTreeAt(into, name);
        if (attempt < 3) continue;
      }
      return openDirectoryAt(into, name);
    }
  }

  #own(into: number, name: string, mode: number): void {
    const { uid, gid } = this.#options.owner;
    syscall("fchownat", [into, cString(name), uid, gid, AT_SYMLINK_NOFOLLOW], displayName(name));
    syscall("fchmodat", [into, cString(name), mode], displayName(name));
  }

  #attributes(fromFd: number, into: number, name: string, stat: Stat): void {
    const { uid, gid } = this.#options.owner;
    syscall("fchownat", [into, cString(name), uid, gid, AT_SYMLINK_NOFOLLOW], displayName(name));
    if ((stat.mode & S_IFMT) !== S_IFLNK)
      syscall("fchmodat", [into, cString(name), stat.mode & 0o7777], displayName(name));
    // Not every file system keeps them, and not everybody may set them.
    for (const { name: attribute, value } of fileXattrs(fromFd, name))
      trySetXattrAt(into, name, attribute, value);
    const time = clampTime(stat.mtimeNs, this.#options.epoch);
    setTimesAt(into, cString(name), time, time);
  }
}
