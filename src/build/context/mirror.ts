/** A directory that follows one of a client's: it learns what there is, and says which files' contents it lacks. */
import { createHash, type Hash } from "node:crypto";
import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { CortenError, invalid } from "../../base/errors.ts";
import type { Digest } from "../../oci/digest.ts";
import { rawSyscall } from "../../sys/libc.ts";
import { setTimesAt, setTimesFd } from "../../sys/rootfs/index.ts";
import { AT_FDCWD, makeDevice, S_IFBLK, S_IFCHR, S_IFIFO, statManyFd } from "../../sys/stat.ts";
import { trySetXattrFd } from "../../sys/xattr.ts";
import { isCounted } from "../files/digest.ts";
import type { FileHashes } from "../types.ts";

export interface MirrorEntry {
  /** Below the directory, parts separated by slashes. */
  path: string;
  type: "file" | "directory" | "symlink" | "fifo" | "character" | "block";
  /** Permissions with setuid, setgid and sticky. */
  mode: number;
  size: number;
  mtimeNs: bigint;
  /** A symlink's target; of a file: another name that it has, which came before. */
  link: string;
  device: { major: number; minor: number };
  xattrs: readonly { name: string; value: Uint8Array }[];
}

export interface MirrorLimits {
  maxSize: number;
  maxEntries: number;
}

export const mirrorLimits: MirrorLimits = { maxSize: 256 * 2 ** 30, maxEntries: 5_000_000 };

/** What is remembered of an entry: whether it changed, and a file's content. */
interface Known {
  /** All that was told of it. */
  told: string;
  directory?: true;
  stamp?: string;
  digest?: Digest;
}

interface Incoming {
  entry: MirrorEntry;
  fd: number;
  hash: Hash;
}

const version = "corten mirror 1";

/**
 * `tree` below `directory` is what the client has, once `finish` was called; nothing else may write to it. Names that lead
 * anywhere else are refused: every entry's directory must have come before it, as a directory.
 */
export class Mirror {
  readonly path: string;
  readonly #indexPath: string;
  readonly #limits: MirrorLimits;
  readonly #discard: (path: string) => void;
  readonly #before: Map<string, Known>;
  readonly #now = new Map<string, Known>();
  readonly #directories = new Map<string, MirrorEntry>();
  readonly #links: MirrorEntry[] = [];
  readonly #incoming = new Map<string, Incoming>();
  readonly #wanted = new Map<string, MirrorEntry>();
  #received = 0;

  /** `discard` removes without making anybody wait: an ext4 that is mounted with `discard` takes a millisecond for each file. */
  constructor(
    directory: string,
    {
      limits = mirrorLimits,
      discard = (path: string) => rmSync(path, { recursive: true, force: true }),
    }: { limits?: MirrorLimits; discard?: (path: string) => void } = {},
  ) {
    this.path = join(directory, "tree");
    this.#indexPath = join(directory, "index");
    this.#limits = limits;
    this.#discard = discard;
    this.#before = loadIndex(this.#indexPath);
    // From here on the index is not true any more: whoever is killed begins anew.
    rmSync(this.#indexPath, { force: true });
    if (this.#before.size === 0) discard(this.path);
    mkdirSync(this.path, { recursive: true, mode: 0o755 });
  }

  /** Takes the next entry; true when the file's content is wanted. */
  entry(entry: MirrorEntry): boolean {
    const { path, type } = entry;
    checkPath(path);
    const slash = path.lastIndexOf("/");
    if (slash >= 0 && !this.#directories.has(path.slice(0, slash)))
      throw invalid(`${path} comes without its directory`);
    if (this.#now.has(path)) throw invalid(`${path} comes twice`);
    if (this.#now.size >= this.#limits.maxEntries)
      throw new CortenError(
        "resource_exhausted",
        `build context: more than ${this.#limits.maxEntries} files`,
      );
    const told = toldOf(entry);
    const before = this.#before.get(path);
    const full = join(this.path, path);
    if (type === "directory") {
      if (before && !before.directory) unlinkSync(full);
      if (!before?.directory) mkdirSync(full, { mode: 0o700 });
      this.#directories.set(path, entry);
      this.#now.set(path, { told, directory: true });
      return false;
    }
    const linked = type === "file" && entry.link !== "";
    if (!linked && before?.told === told) {
      this.#now.set(path, before);
      return false;
    }
    if (before) this.#discard(full);
    const known: Known = { told };
    this.#now.set(path, known);
    if (linked) {
      this.#links.push(entry);
      return false;
    }
    if (type === "file") {
      this.#wanted.set(path, entry);
      return true;
    }
    if (type === "symlink") symlinkSync(entry.link, full);
    else makeNode(full, entry);
    this.#attributes(full, entry);
    return false;
  }

  /** Bytes of a wanted file. */
  data(path: string, bytes: Uint8Array): void {
    this.#received += bytes.length;
    if (this.#received > this.#limits.maxSize)
      throw new CortenError("resource_exhausted", `build context: more than ${this.#limits.maxSize} bytes`);
    const incoming = this.#begin(path);
    incoming.hash.update(bytes);
    for (let at = 0; at < bytes.length; ) at += writeSync(incoming.fd, bytes, at);
  }

  /** A wanted file is complete. */
  end(path: string): void {
    const { entry, fd, hash } = this.#begin(path);
    try {
      rawSyscall("fchmod", fd, entry.mode & 0o7777);
      for (const { name, value } of entry.xattrs) trySetXattrFd(fd, name, value);
      setTimesFd(fd, entry.mtimeNs, entry.mtimeNs);
      const known = this.#now.get(path)!;
      // What an attribute adds to the content is found out when the file is used.
      if (!entry.xattrs.some(({ name }) => isCounted(name))) {
        known.stamp = statManyFd(fd).stamp;
        known.digest = `sha256:${hash.digest("hex")}`;
      }
    } finally {
      this.#incoming.delete(path);
      this.#wanted.delete(path);
      closeSync(fd);
    }
  }

  #begin(path: string): Incoming {
    const open = this.#incoming.get(path);
    if (open) return open;
    const entry = this.#wanted.get(path);
    if (!entry) throw invalid(`the content of ${path} was not asked for`);
    const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
    const fd = openSync(join(this.path, path), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    const incoming = { entry, fd, hash: createHash("sha256") };
    this.#incoming.set(path, incoming);
    return incoming;
  }

  /** All has come: what was not told is removed, links are made, directories get their modes and times. */
  finish(): FileHashes {
    if (this.#wanted.size > 0) throw invalid(`the content of ${[...this.#wanted.keys()][0]} has not come`);
    for (const [path] of this.#before) {
      if (this.#now.has(path)) continue;
      // What was in a directory that is none any more went with it; its place may be a link to anywhere now.
      const slash = path.lastIndexOf("/");
      if (slash >= 0 && !this.#directories.has(path.slice(0, slash))) continue;
      this.#discard(join(this.path, path));
    }
    for (const { path, link } of this.#links) {
      checkPath(link);
      const target = this.#now.get(link);
      if (!target || target.directory) throw invalid(`${path} is a link to ${link}, which has not come`);
      const full = join(this.path, path);
      this.#discard(full);
      linkSync(join(this.path, link), full);
    }
    // Deepest first: making something in a directory changes its time.
    for (const entry of [...this.#directories.values()].reverse())
      this.#attributes(join(this.path, entry.path), entry);
    saveIndex(this.#indexPath, this.#now);
    const known = new Map<string, Digest>();
    for (const { stamp, digest } of this.#now.values()) if (stamp && digest) known.set(stamp, digest);
    return {
      get: (_path, stamp) => known.get(stamp),
      set: (_path, stamp, digest) => void known.set(stamp, digest),
    };
  }

  /** Closes what is open; the next one on this directory begins anew unless `finish` was called. */
  close(): void {
    for (const { fd } of this.#incoming.values()) closeSync(fd);
    this.#incoming.clear();
  }

  #attributes(full: string, entry: MirrorEntry): void {
    if (entry.type !== "symlink") chmodSync(full, entry.mode & 0o7777);
    setTimesAt(AT_FDCWD, full, entry.mtimeNs, entry.mtimeNs);
  }
}

function checkPath(path: string): void {
  if (path === "" || path.length > 4095 || path.includes("\0"))
    throw invalid(`${JSON.stringify(path.slice(0, 100))} is no name of a file`);
  for (const part of path.split("/"))
    if (part === "" || part === "." || part === "..")
      throw invalid(`${JSON.stringify(path)} leads elsewhere`);
}

function toldOf({ type, mode, size, mtimeNs, link, device, xattrs }: MirrorEntry): string {
  const attributes = xattrs.map(({ name, value }) => `${name}=${Buffer.from(value).toString("base64")}`);
  return JSON.stringify([type, mode, size, String(mtimeNs), link, device.major, device.minor, ...attributes]);
}

const nodeTypes: Readonly<Record<string, number>> = { fifo: S_IFIFO, character: S_IFCHR, block: S_IFBLK };

function makeNode(full: string, { type, device, path }: MirrorEntry): void {
  const number = type === "fifo" ? 0n : makeDevice(device.major, device.minor);
  const result = rawSyscall("mknodat", AT_FDCWD, full, nodeTypes[type]! | 0o600, number);
  if (result < 0) throw new CortenError("permission_denied", `${path} is a device that cannot be made here`);
}

function loadIndex(path: string, limit?: number): Map<string, Known> {
  const index = new Map<string, Known>();
  if (!existsSync(path)) return index;
  try {
    const lines = (limit === undefined ? readFileSync(path, "utf8") : readStart(path, limit)).split("\n");
    if (lines[0] !== version) return index;
    // The last line may be cut short.
    if (limit !== undefined) lines.pop();
    for (const line of lines.slice(1)) {
      if (line === "") continue;
      const [name, known] = JSON.parse(line) as [string, Known];
      index.set(name, known);
    }
  } catch {
    // As good as none: everything comes again.
    index.clear();
  }
  return index;
}

function readStart(path: string, limit: number): string {
  const fd = openSync(path, "r");
  try {
    const bytes = Buffer.alloc(limit);
    return bytes.toString("utf8", 0, readSync(fd, bytes, 0, limit, 0));
  } finally {
    closeSync(fd);
  }
}

/** Enough of an index for the first entries of a directory. */
const sample = 128 << 10;

/** How much of a directory's first entries a mirror has, from 0 to 1; directories do not count. */
export function likeness(directory: string, first: readonly MirrorEntry[]): number {
  const files = first.filter(({ type }) => type !== "directory");
  if (files.length === 0) return 1;
  const index = loadIndex(join(directory, "index"), sample);
  return files.filter((entry) => index.get(entry.path)?.told === toldOf(entry)).length / files.length;
}

function saveIndex(path: string, index: ReadonlyMap<string, Known>): void {
  const lines = [version];
  for (const one of index) lines.push(JSON.stringify(one));
  writeFileSync(`${path}.new`, `${lines.join("\n")}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}
