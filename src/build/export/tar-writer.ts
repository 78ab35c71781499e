import {
  endOfArchive,
  formatEntry,
  padding,
  type TarEntry,
  type TarEntryType,
} from "../../archive/tar/index.ts";
import { conflict } from "../../base/errors.ts";
import { cString, displayName } from "../../sys/directory.ts";
import { rawSyscall, SyscallError, syscall } from "../../sys/libc.ts";
import { O_CLOEXEC, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } from "../../sys/open.ts";
import { S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, splitDevice } from "../../sys/stat.ts";
import { listXattrsAt, type Xattr } from "../../sys/xattr.ts";
import type { RootfsWriter } from "./rootfs-output.ts";
import { type TreeEntry, walkTree } from "./tree.ts";

export interface TarOptions {
  signal: AbortSignal;
  /** Seconds: no time is later. */
  epoch?: number;
  /** Several platforms share one directory: a path may come once only. */
  exclusive: boolean;
}

const types: Readonly<Record<number, TarEntryType>> = {
  [S_IFREG]: "file",
  [S_IFDIR]: "directory",
  [S_IFLNK]: "symlink",
  [S_IFCHR]: "char",
  [S_IFBLK]: "block",
  [S_IFIFO]: "fifo",
};

const pieceSize = 256 << 10;
const machineXattrs = /^(?:trusted\.overlay\.|user\.overlay\.|security\.(?:selinux|ima|evm)$)/;

/** Attributes that belong to the file rather than to the machine or the overlay. */
export const fileXattrs = (dirFd: number, name: string): Xattr[] =>
  listXattrsAt(dirFd, name).filter((xattr) => !machineXattrs.test(xattr.name));

/** The target of a symlink, as bytes. */
export function linkTarget(dirFd: number, name: string): string {
  const buffer = Buffer.alloc(4096);
  const length = rawSyscall("readlinkat", dirFd, cString(name), buffer, buffer.length);
  if (length < 0) throw new SyscallError("readlink", -length, displayName(name));
  return buffer.toString("latin1", 0, length);
}

/** A tar stream of trees: owners, modes, times, attributes, devices, hard links; small entries are sent together. */
export class TarWriter implements RootfsWriter {
  readonly #write: (chunk: Uint8Array) => Promise<void>;
  readonly #options: TarOptions;
  readonly #seen = new Set<string>();
  #prefix = "";
  #links = new Map<string, string>();
  #pending: Uint8Array[] = [];
  #length = 0;

  constructor(write: (chunk: Uint8Array) => Promise<void>, options: TarOptions) {
    this.#write = write;
    this.#options = options;
  }

  async begin(folder: string): Promise<void> {
    this.#links = new Map();
    this.#prefix = folder === "" ? "" : `${folder}/`;
    if (folder !== "") await this.#add(this.#plain(this.#prefix, "directory", 0o755, 0));
  }

  async tree(rootFd: number): Promise<void> {
    await walkTree(rootFd, { enter: (entry) => this.#entry(entry) }, this.#options.signal);
  }

  async file(name: string, data: Uint8Array): Promise<void> {
    await this.#add(this.#plain(this.#prefix + name, "file", 0o644, data.length));
    await this.#push(data);
    await this.#push(new Uint8Array(padding(data.length)));
  }

  async end(): Promise<void> {
    await this.#push(endOfArchive);
    await this.#flush();
  }

  #plain(path: string, type: TarEntryType, mode: number, size: number): TarEntry {
    const mtimeNs = BigInt(this.#options.epoch ?? Math.floor(Date.now() / 1000)) * 1_000_000_000n;
    return { path, linkPath: "", type, mode, uid: 0, gid: 0, size, mtimeNs, major: 0, minor: 0, xattrs: [] };
  }

  async #entry({ dirFd, name, path, stat }: TreeEntry): Promise<void> {
    const type = types[stat.mode & S_IFMT];
    if (!type) return;
    const full = this.#prefix + path;
    const entry: TarEntry = {
      path: type === "directory" ? `${full}/` : full,
      linkPath: "",
      type,
      mode: stat.mode & 0o7777,
      uid: stat.uid,
      gid: stat.gid,
      size: 0,
      mtimeNs: clampTime(stat.mtimeNs, this.#options.epoch),
      major: 0,
      minor: 0,
      xattrs: fileXattrs(dirFd, name),
    };
    if (type !== "directory" && stat.nlink > 1) {
      const key = `${stat.dev}:${stat.ino}`;
      const first = this.#links.get(key);
      if (first !== undefined) {
        await this.#add({ ...entry, type: "link", linkPath: first, xattrs: [] });
        return;
      }
      this.#links.set(key, full);
    }
    if (type === "char" || type === "block") Object.assign(entry, splitDevice(stat.rdev));
    if (type === "symlink") entry.linkPath = linkTarget(dirFd, name);
    if (type === "file") entry.size = stat.size;
    await this.#add(entry);
    if (entry.size > 0) await this.#data(dirFd, name, entry.size);
  }

  /** Exactly `size` bytes, whatever has become of the file. */
  async #data(dirFd: number, name: string, size: number): Promise<void> {
    const flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    const fd = syscall("openat", [dirFd, cString(name), flags], displayName(name));
    try {
      for (let left = size; left > 0; ) {
        const piece = Buffer.alloc(Math.min(pieceSize, left));
        for (let done = 0; done < piece.length; ) {
          const length = syscall("read", [fd, piece.subarray(done), piece.length - done], displayName(name));
          if (length === 0) break;
          done += length;
        }
        left -= piece.length;
        await this.#push(piece);
      }
    } finally {
      rawSyscall("close", fd);
    }
    if (padding(size) > 0) await this.#push(new Uint8Array(padding(size)));
  }

  async #add(entry: TarEntry): Promise<void> {
    if (this.#options.exclusive && entry.type !== "directory") {
      if (this.#seen.has(entry.path)) throw twice(entry.path);
      this.#seen.add(entry.path);
    }
    await this.#push(formatEntry(entry));
  }

  async #push(bytes: Uint8Array): Promise<void> {
    this.#pending.push(bytes);
    this.#length += bytes.length;
    if (this.#length >= pieceSize) await this.#flush();
  }

  async #flush(): Promise<void> {
    const joined = this.#pending.length === 1 ? this.#pending[0]! : Buffer.concat(this.#pending);
    this.#pending = [];
    this.#length = 0;
    if (joined.length > 0) await this.#write(joined);
  }
}

export const twice = (path: string) =>
  conflict(`cannot overwrite ${displayName(path)} of another platform when the split option is disabled`);

export function clampTime(timeNs: bigint, epoch: number | undefined): bigint {
  if (epoch === undefined) return timeNs;
  const latest = BigInt(epoch) * 1_000_000_000n;
  return timeNs > latest ? latest : timeNs;
}
