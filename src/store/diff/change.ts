/** What differs between two trees, as a list that a layer is written from. Names are latin1 byte strings. */
import { closeSync, openSync } from "node:fs";
import { cString, openDirectoryAt, readDirectory } from "../../sys/directory.ts";
import { rawSyscall, syscall } from "../../sys/libc.ts";
import { O_CLOEXEC, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } from "../../sys/open.ts";
import { S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK, type Stat, statAt, statFd } from "../../sys/stat.ts";
import { listXattrsAt, type Xattr } from "../../sys/xattr.ts";

/** One entry of the layer to be. */
export type Change =
  | { kind: "entry"; path: string; stat: Stat; xattrs: Xattr[] }
  | { kind: "whiteout"; path: string }
  | { kind: "opaque"; path: string };

/** After so many entries other work gets its turn. */
const breath = 1000;

export class Breather {
  #count = 0;
  async step(): Promise<void> {
    if (++this.#count % breath === 0) await new Promise((done) => setImmediate(done));
  }
}

export const typeOf = (stat: Stat) => stat.mode & S_IFMT;
export const isDirectory = (stat: Stat) => typeOf(stat) === S_IFDIR;

/** Attributes that belong to the machine or the overlay, not to the file. */
const machineXattrs = /^(?:trusted\.overlay\.|user\.overlay\.|security\.(?:selinux|ima|evm)$)/;

export function layerXattrs(dirFd: number, name: string): Xattr[] {
  return listXattrsAt(dirFd, name).filter((xattr) => !machineXattrs.test(xattr.name));
}

/** Entries of a directory in the order of their bytes, sockets left out: no layer can hold them. */
export function sortedEntries(fd: number): Array<{ name: string; stat: Stat }> {
  const found: Array<{ name: string; stat: Stat }> = [];
  for (const { name } of readDirectory(fd)) {
    const stat = statAt(fd, cString(name));
    if (stat && typeOf(stat) !== S_IFSOCK) found.push({ name, stat });
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

export const childPath = (path: string, name: string) => (path === "" ? name : `${path}/${name}`);

/** Compares tree `upper` with `lower` (absent: an empty one) by attributes, and by content where those say too little. */
export async function compareTrees(lower: string | undefined, upper: string): Promise<Change[]> {
  const comparison = new Comparison();
  const upperFd = openSync(upper, "r");
  try {
    const lowerFd = lower === undefined ? undefined : openSync(lower, "r");
    try {
      const root = changedRoot(lowerFd, upperFd);
      if (root) comparison.changes.push(root);
      await comparison.directory(lowerFd, upperFd, "");
    } finally {
      if (lowerFd !== undefined) closeSync(lowerFd);
    }
  } finally {
    closeSync(upperFd);
  }
  return comparison.finish();
}

/**
 * The root's own entry, when its owner, mode or attributes differ. Its time changes with every entry made in
 * it, so that alone does not count: a snapshot in which nothing was done gives an empty layer.
 */
export function changedRoot(lowerFd: number | undefined, upperFd: number): Change | undefined {
  const stat = statFd(upperFd);
  const xattrs = layerXattrs(upperFd, ".");
  if (lowerFd !== undefined) {
    const before = { ...statFd(lowerFd), mtimeNs: stat.mtimeNs };
    if (sameAttributes(before, stat) && sameXattrs(layerXattrs(lowerFd, "."), xattrs)) return undefined;
  }
  return { kind: "entry", path: "", stat, xattrs };
}

class Comparison {
  readonly changes: Change[] = [];
  /** Unchanged names of files with several: when one name of a file goes into the layer, all do. */
  readonly #unchangedLinks = new Map<string, Change[]>();
  readonly #breather = new Breather();

  async directory(lowerFd: number | undefined, upperFd: number, path: string): Promise<void> {
    const before = new Map(lowerFd === undefined ? [] : sortedEntries(lowerFd).map((e) => [e.name, e.stat]));
    const after = sortedEntries(upperFd);
    const names = new Set(after.map(({ name }) => name));
    const all = [...after.map((e) => ({ ...e, gone: false }))];
    for (const [name, stat] of before) if (!names.has(name)) all.push({ name, stat, gone: true });
    all.sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const { name, stat, gone } of all) {
      await this.#breather.step();
      const child = childPath(path, name);
      if (gone) this.changes.push({ kind: "whiteout", path: child });
      else await this.#entry(lowerFd, upperFd, name, child, before.get(name), stat);
    }
  }

  async #entry(
    lowerFd: number | undefined,
    upperFd: number,
    name: string,
    path: string,
    before: Stat | undefined,
    stat: Stat,
  ): Promise<void> {
    const xattrs = layerXattrs(upperFd, name);
    const comparable = before !== undefined && lowerFd !== undefined && typeOf(before) === typeOf(stat);
    const same =
      comparable &&
      sameAttributes(before, stat) &&
      sameXattrs(layerXattrs(lowerFd, name), xattrs) &&
      sameContent(lowerFd, upperFd, name, before, stat);
    const change: Change = { kind: "entry", path, stat, xattrs };
    if (!same) this.changes.push(change);
    else if (!isDirectory(stat) && stat.nlink > 1) {
      const key = `${stat.dev}:${stat.ino}`;
      const names = this.#unchangedLinks.get(key);
      if (names) names.push(change);
      else this.#unchangedLinks.set(key, [change]);
    }
    if (!isDirectory(stat)) return;
    const upperChild = openDirectoryAt(upperFd, name);
    try {
      const lowerChild = comparable ? openDirectoryAt(lowerFd, name) : undefined;
      try {
        await this.directory(lowerChild, upperChild, path);
      } finally {
        if (lowerChild !== undefined) closeSync(lowerChild);
      }
    } finally {
      closeSync(upperChild);
    }
  }

  finish(): Change[] {
    const partners: Change[] = [];
    for (const change of this.changes) {
      if (change.kind !== "entry" || isDirectory(change.stat) || change.stat.nlink < 2) continue;
      const key = `${change.stat.dev}:${change.stat.ino}`;
      partners.push(...(this.#unchangedLinks.get(key) ?? []));
      this.#unchangedLinks.delete(key);
    }
    return sortChanges([...this.changes, ...partners]);
  }
}

/** By path, each directory before what is in it, whatever bytes the names have. */
export function sortChanges(changes: Change[]): Change[] {
  const key = new Map(changes.map((change) => [change, change.path.replaceAll("/", "\0")]));
  return changes.sort((a, b) => {
    const left = key.get(a)!;
    const right = key.get(b)!;
    if (left !== right) return left < right ? -1 : 1;
    // A directory, then the mark that it is opaque.
    return Number(a.kind === "opaque") - Number(b.kind === "opaque");
  });
}

function sameAttributes(a: Stat, b: Stat): boolean {
  return (
    a.mode === b.mode &&
    a.uid === b.uid &&
    a.gid === b.gid &&
    a.rdev === b.rdev &&
    a.mtimeNs === b.mtimeNs &&
    (typeOf(a) !== S_IFREG || a.size === b.size)
  );
}

function sameXattrs(a: readonly Xattr[], b: readonly Xattr[]): boolean {
  return (
    a.length === b.length &&
    a.every(({ name, value }, at) => name === b[at]!.name && Buffer.compare(value, b[at]!.value) === 0)
  );
}

/** Of entries with the same attributes: symlinks by target; files only where a time of whole seconds proves little. */
function sameContent(lowerFd: number, upperFd: number, name: string, before: Stat, stat: Stat): boolean {
  if (before.dev === stat.dev && before.ino === stat.ino) return true;
  if (typeOf(stat) === S_IFLNK) return readLink(lowerFd, name) === readLink(upperFd, name);
  if (typeOf(stat) !== S_IFREG || stat.mtimeNs % 1_000_000_000n !== 0n) return true;
  return sameBytes(lowerFd, upperFd, name);
}

export function readLink(dirFd: number, name: string): string {
  const buffer = Buffer.alloc(4096);
  const length = rawSyscall("readlinkat", dirFd, cString(name), buffer, buffer.length);
  return buffer.toString("latin1", 0, Math.max(0, length));
}

function sameBytes(lowerFd: number, upperFd: number, name: string): boolean {
  const a = openFileAt(lowerFd, name);
  try {
    const b = openFileAt(upperFd, name);
    try {
      const left = Buffer.allocUnsafe(256 << 10);
      const right = Buffer.allocUnsafe(256 << 10);
      for (;;) {
        const length = readFully(a, left);
        if (readFully(b, right) !== length) return false;
        if (left.compare(right, 0, length, 0, length) !== 0) return false;
        if (length < left.length) return true;
      }
    } finally {
      rawSyscall("close", b);
    }
  } finally {
    rawSyscall("close", a);
  }
}

/** Opens a regular file for reading; NONBLOCK, should it have become a fifo meanwhile. */
export function openFileAt(dirFd: number, name: string): number {
  return syscall("openat", [dirFd, cString(name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC], name);
}

/** Reads until the buffer is full or the file ends. */
export function readFully(fd: number, into: Buffer): number {
  let done = 0;
  while (done < into.length) {
    const length = syscall("read", [fd, into.subarray(done), into.length - done]);
    if (length === 0) break;
    done += length;
  }
  return done;
}
