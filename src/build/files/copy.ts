/** COPY: entries of a source tree into the destination, as BuildKit's file operations do (`cp -a` in spirit). */
import { baseOf, join, parentOf } from "../../archive/paths.ts";
import { conflict } from "../../base/errors.ts";
import { cString } from "../../sys/directory.ts";
import { rawSyscall, SyscallError } from "../../sys/libc.ts";
import { O_CLOEXEC, O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } from "../../sys/open.ts";
import { setTimesAt, setTimesFd } from "../../sys/rootfs/index.ts";
import {
  AT_SYMLINK_NOFOLLOW,
  type ManyStat,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  S_IFSOCK,
  statAt,
  statFd,
} from "../../sys/stat.ts";
import { listXattrsAt, trySetXattrAt, trySetXattrFd } from "../../sys/xattr.ts";
import { modeChange } from "./content.ts";
import { copyContent, type Refused } from "./data.ts";
import { type Destination, isDirectoryName } from "./destination.ts";
import type { ModeChange } from "./mode.ts";
import type { Owner } from "./owner.ts";
import { EEXIST, readLinkAt, shown, toBytes } from "./root.ts";
import { type CopyAction, type Selection, type SourceTree, select } from "./select.ts";
import type { Turns } from "./turns.ts";
import { unpackInto } from "./unpack.ts";
import { type Visitor, walk } from "./walk.ts";

/** Performs one copy action. `owner` is what --chown came to. */
export async function copy(
  tree: SourceTree,
  action: CopyAction,
  destination: Destination,
  owner: Owner | undefined,
  turns: Turns,
): Promise<void> {
  for (const selection of select(tree, action)) {
    if (action.unpack && (await unpackInto(tree, selection, action, destination, owner, turns))) continue;
    await copySelection(tree, selection, action, destination, owner, turns);
  }
}

async function copySelection(
  tree: SourceTree,
  selection: Selection,
  action: CopyAction,
  destination: Destination,
  owner: Owner | undefined,
  turns: Turns,
): Promise<void> {
  const wanted = toBytes(action.destination);
  const parentMode = typeof action.mode === "number" ? action.mode & 0o777 : 0o755;
  const into = isDirectoryName(wanted) ? wanted : parentOf(wanted.replace(/\/+$/, ""));
  destination.makeDirectories(destination.root.resolve(into), parentMode, owner);
  let target = destination.root.resolve(wanted);
  const isThere = destination.stat(target) !== undefined;
  if (!selection.isDirectory && isThere && destination.isDirectory(target))
    target = join(target, selection.name);
  destination.makeDirectories(
    selection.isDirectory && !isThere ? target : parentOf(target),
    parentMode,
    owner,
  );
  const copier = new Copier(tree, action, destination, owner, turns);
  if (!selection.isDirectory) {
    await copier.one(selection, target);
    return;
  }
  if (!destination.isDirectory(target)) throw conflict(`cannot copy to non-directory: ${shown(target)}`);
  await copier.contents(selection, target);
}

/** A directory that is being filled. */
interface Level {
  fd: number;
  path: string;
  direct: boolean;
  /** New entries do not get the owner or mode that they are made with: the directory passes on its group or an ACL. */
  passesOn: boolean;
  existed: boolean;
}

const xattrNames = Buffer.allocUnsafe(4096);
const aclDefault = Buffer.from("system.posix_acl_default\0");
const newFile = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
const oldFile = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;

class Copier implements Visitor {
  readonly #tree: SourceTree;
  readonly #destination: Destination;
  readonly #owner: Owner | undefined;
  readonly #mode: ModeChange;
  readonly #turns: Turns;
  readonly #refused: Refused = { clone: false, range: false };
  /** First copies of files with several names, by device and inode. */
  readonly #links = new Map<string, { directory: string; name: Uint8Array; direct: boolean }>();
  readonly #levels: Level[] = [];
  readonly #umask = process.umask();

  constructor(
    tree: SourceTree,
    action: CopyAction,
    destination: Destination,
    owner: Owner | undefined,
    turns: Turns,
  ) {
    this.#tree = tree;
    this.#destination = destination;
    this.#owner = owner ?? (tree.ownerless ? { uid: 0, gid: 0 } : undefined);
    this.#mode = modeChange(action.mode);
    this.#turns = turns;
  }

  /** One entry that is no directory, as `target`. */
  async one({ path, stat }: Selection, target: string): Promise<void> {
    const parent = this.#tree.root.open(parentOf(path), O_RDONLY);
    if (parent < 0) throw new SyscallError("open", -parent, shown(path));
    try {
      this.#push(this.#destination.openDirectory(parentOf(target)), parentOf(target), true);
      await this.#put(parent, cString(baseOf(path)), stat, cString(baseOf(target)), target);
    } finally {
      this.#close();
      rawSyscall("close", parent);
    }
  }

  /** What is in a directory, into the directory `target`, which is there. */
  async contents({ path, stat, filter }: Selection, target: string): Promise<void> {
    const fd = this.#tree.root.openDirectory(path);
    if (fd < 0) throw new SyscallError("open", -fd, shown(path));
    try {
      this.#push(this.#destination.openDirectory(target), target, true);
      await walk(fd, "", filter, this, this.#turns);
    } finally {
      this.#close();
      rawSyscall("close", fd);
    }
    // The directory copied into gets the source's times, and nothing else of it.
    const top = this.#destination.reopen(target, false);
    try {
      setTimesAt(top, ".", stat.atimeNs, stat.mtimeNs);
    } finally {
      rawSyscall("close", top);
    }
  }

  file(parent: number, name: Uint8Array, stat: ManyStat): void | Promise<void> {
    const level = this.#levels.at(-1)!;
    return this.#put(parent, name, stat, name, join(level.path, textOf(name)));
  }

  enter(_parent: number, name: Uint8Array): void {
    const level = this.#levels.at(-1)!;
    const path = join(level.path, textOf(name));
    const result = rawSyscall("mkdirat", level.fd, name, 0o700);
    if (result === EEXIST) {
      const there = statAt(level.fd, name);
      if (!there || (there.mode & S_IFMT) !== S_IFDIR)
        throw conflict(`cannot copy to non-directory: ${shown(path)}`);
    } else check(result, "mkdir", path);
    const made = result === 0;
    this.#push(
      this.#destination.openChild(level.fd, name, path, { direct: level.direct, made }),
      path,
      !made,
    );
  }

  leave(parent: number, name: Uint8Array, stat: ManyStat, _path: string, wanted: boolean): void {
    const { fd, path, existed } = this.#levels.pop()!;
    rawSyscall("close", fd);
    const level = this.#levels.at(-1)!;
    const mode = this.#mode(stat.mode & 0o7777, true);
    if (existed && !wanted) {
      check(rawSyscall("fchmodat", level.fd, name, stat.mode & 0o7777), "chmod", path);
      return;
    }
    const { uid, gid } = this.#owner ?? stat;
    if (existed || level.passesOn || uid !== 0 || gid !== 0)
      check(rawSyscall("fchownat", level.fd, name, uid, gid, AT_SYMLINK_NOFOLLOW), "chown", path);
    check(rawSyscall("fchmodat", level.fd, name, mode), "chmod", path);
    this.#copyXattrs(parent, name, level.fd, name);
    setTimesAt(level.fd, name, stat.atimeNs, stat.mtimeNs);
  }

  #push(opened: { fd: number; direct: boolean }, path: string, existed: boolean): void {
    const { mode } = statFd(opened.fd);
    const passesOn =
      (mode & 0o2000) !== 0 || (existed && rawSyscall("fgetxattr", opened.fd, aclDefault, null, 0) > 0);
    const inherited = this.#levels.at(-1)?.passesOn ?? false;
    this.#levels.push({ ...opened, path, existed, passesOn: passesOn || inherited });
  }

  #close(): void {
    for (const { fd } of this.#levels.splice(0)) rawSyscall("close", fd);
  }

  /** One entry under the name `as` of the current directory. */
  #put(parent: number, name: Uint8Array, stat: ManyStat, as: Uint8Array, path: string): void | Promise<void> {
    const level = this.#levels.at(-1)!;
    const type = stat.mode & S_IFMT;
    if (type === S_IFREG) {
      if (stat.nlink > 1 && this.#link(stat, level, as, path)) return;
      return this.#putFile(parent, name, stat, level, as, path);
    }
    if (type === S_IFLNK) {
      const target = cString(readLinkAt(parent, name));
      this.#make(level, as, path, "symlink", () => rawSyscall("symlinkat", target, level.fd, as));
    } else {
      // A socket is nothing without its listener; BuildKit leaves an empty file in its place.
      const kind = type === S_IFSOCK ? S_IFREG : type;
      this.#make(level, as, path, "mknod", () =>
        rawSyscall("mknodat", level.fd, as, kind | 0o600, stat.rdev),
      );
    }
    const { uid, gid } = this.#owner ?? stat;
    check(rawSyscall("fchownat", level.fd, as, uid, gid, AT_SYMLINK_NOFOLLOW), "chown", path);
    if (type !== S_IFLNK)
      check(rawSyscall("fchmodat", level.fd, as, this.#mode(stat.mode & 0o7777, false)), "chmod", path);
    this.#copyXattrs(parent, name, level.fd, as);
    setTimesAt(level.fd, as, stat.atimeNs, stat.mtimeNs);
  }

  #putFile(
    parent: number,
    name: Uint8Array,
    stat: ManyStat,
    level: Level,
    as: Uint8Array,
    path: string,
  ): void | Promise<void> {
    const from = check(rawSyscall("openat", parent, name, oldFile), "open", path);
    let to = -1;
    const close = () => {
      rawSyscall("close", from);
      if (to >= 0) rawSyscall("close", to);
    };
    try {
      const mode = this.#mode(stat.mode & 0o7777, false);
      to = this.#make(level, as, path, "create", () =>
        rawSyscall("openat", level.fd, as, newFile, mode & 0o777),
      );
      const copied = copyContent(from, to, stat.size, stat.blocks, this.#refused, this.#turns);
      if (copied)
        return copied
          .then(() => this.#finishFile(parent, name, stat, from, to, level, mode, path))
          .finally(close);
      this.#finishFile(parent, name, stat, from, to, level, mode, path);
    } catch (error) {
      close();
      throw error;
    }
    close();
  }

  #finishFile(
    parent: number,
    name: Uint8Array,
    stat: ManyStat,
    from: number,
    to: number,
    level: Level,
    mode: number,
    path: string,
  ): void {
    const { uid, gid } = this.#owner ?? stat;
    if (uid !== 0 || gid !== 0 || level.passesOn) check(rawSyscall("fchown", to, uid, gid), "chown", path);
    if (mode & (this.#umask | 0o7000) || level.passesOn) check(rawSyscall("fchmod", to, mode), "chmod", path);
    if (rawSyscall("flistxattr", from, xattrNames, xattrNames.length) !== 0)
      for (const { name: attribute, value } of listXattrsAt(parent, textOf(name)))
        if (!attribute.startsWith("trusted.overlay.")) trySetXattrFd(to, attribute, value);
    setTimesFd(to, stat.atimeNs, stat.mtimeNs);
  }

  /** As BuildKit: an attribute that the target's file system refuses is left out. */
  #copyXattrs(parent: number, name: Uint8Array, toFd: number, as: Uint8Array): void {
    for (const { name: attribute, value } of listXattrsAt(parent, textOf(name)))
      if (!attribute.startsWith("trusted.overlay.")) trySetXattrAt(toFd, textOf(as), attribute, value);
  }

  /** True when the file was copied under another name before, and now has both. */
  #link(stat: ManyStat, level: Level, as: Uint8Array, path: string): boolean {
    const key = `${stat.dev}:${stat.ino}`;
    const first = this.#links.get(key);
    // Files made through the overlay and beside it cannot be linked with each other.
    if (!first || first.direct !== level.direct) {
      this.#links.set(key, { directory: level.path, name: as, direct: level.direct });
      return false;
    }
    const from = this.#destination.reopen(first.directory, first.direct);
    try {
      this.#make(level, as, path, "link", () => rawSyscall("linkat", from, first.name, level.fd, as, 0));
      return true;
    } finally {
      rawSyscall("close", from);
    }
  }

  /** Makes an entry; what has its name is removed first, unless it is a directory. */
  #make(level: Level, as: Uint8Array, path: string, call: string, make: () => number): number {
    const result = make();
    if (result !== EEXIST) return check(result, call, path);
    const there = statAt(level.fd, as);
    if (there && (there.mode & S_IFMT) === S_IFDIR)
      throw conflict(`cannot replace to directory ${shown(path)} with file`);
    check(rawSyscall("unlinkat", level.fd, as, 0), "unlink", path);
    return check(make(), call, path);
  }
}

const textOf = (name: Uint8Array): string =>
  Buffer.from(name.buffer, name.byteOffset, name.length - 1).toString("latin1");

function check(result: number, call: string, path: string): number {
  if (result < 0) throw new SyscallError(call, -result, shown(path));
  return result;
}
