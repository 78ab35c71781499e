import { closeSync, fstatSync, readFileSync, readSync } from "node:fs";
import { posix } from "node:path";
import { copyTree } from "../../archive/copy-tree.ts";
import { decompress } from "../../archive/decompress.ts";
import { endOfArchive, formatEntry, padding, type TarEntryType } from "../../archive/tar/index.ts";
import { invalid } from "../../base/errors.ts";
import type { FileInfo, RootfsTree } from "../../dockerd/index.ts";
import { unpack } from "../../store/layer/unpack.ts";
import { cString, readDirectory } from "../../sys/directory.ts";
import { rawSyscall, SyscallError } from "../../sys/libc.ts";
import { bindDescriptor } from "../../sys/mount.ts";
import { O_CREAT, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_PATH, O_RDONLY, O_WRONLY } from "../../sys/open.ts";
import { openInRoot, Rootfs } from "../../sys/rootfs/index.ts";
import {
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  S_IFREG,
  type Stat,
  splitDevice,
  statAt,
} from "../../sys/stat.ts";
import { listXattrsAt } from "../../sys/xattr.ts";

const blockSize = 256 * 1024;

/** A container's filesystem below `root`. All lookups go through openat2(RESOLVE_IN_ROOT). */
export class Tree implements RootfsTree, Disposable {
  readonly #root: Rootfs;

  constructor(root: string) {
    this.#root = new Rootfs(root);
  }

  [Symbol.dispose](): void {
    this.#root[Symbol.dispose]();
  }

  readText(path: string, limit: number): string | undefined {
    const fd = openInRoot(this.#root.fd, `${path}`, O_RDONLY | O_NONBLOCK);
    if (fd < 0) return undefined;
    try {
      const stat = fstatSync(fd);
      // A FIFO or device in a file's place must not be waited for.
      if (!stat.isFile()) return undefined;
      if (stat.size > limit) throw invalid(`${path} is larger than ${limit} bytes`);
      const buffer = Buffer.alloc(Math.min(limit, stat.size));
      const length = readSync(fd, buffer, 0, buffer.length, 0);
      return buffer.toString("utf8", 0, length);
    } finally {
      closeSync(fd);
    }
  }

  stat(path: string, options: { follow?: boolean } = {}): FileInfo | undefined {
    const clean = posix.normalize(`/${path}`).replace(/(.)\/$/, "$1");
    const found = this.#root.stat(clean, options);
    if (!found) return undefined;
    const link = (found.mode & S_IFMT) === S_IFLNK;
    return {
      name: clean === "/" ? "/" : posix.basename(clean),
      size: found.size,
      mode: found.mode,
      mtimeNs: found.mtimeNs,
      linkTarget: link ? (this.#root.readlink(clean) ?? "") : "",
      isDirectory: (found.mode & S_IFMT) === S_IFDIR,
    };
  }

  makeDirectory(path: string, mode: number, owner: { uid: number; gid: number }): void {
    closeSync(this.#root.mkdirAll(path, mode, owner));
  }

  makeFile(path: string, mode = 0o644): void {
    closeSync(this.#root.mkdirAll(posix.dirname(path)));
    closeSync(this.#root.open(path, O_WRONLY | O_CREAT | O_NONBLOCK, mode));
  }

  makeLink(path: string, target: string): void {
    closeSync(this.#root.mkdirAll(posix.dirname(path)));
    this.#root.symlink(target, path);
  }

  mountOf(path: string): { readonly: boolean; root: boolean } {
    const fd = this.#root.open(path, O_PATH);
    try {
      const facts = Buffer.alloc(120);
      const result = rawSyscall("fstatfs", fd, facts);
      if (result < 0) throw new SyscallError("fstatfs", -result, path);
      return {
        readonly: (Number(facts.readBigUInt64LE(statfsFlags)) & ST_RDONLY) !== 0,
        root: mountId(fd) === mountId(this.#root.fd),
      };
    } finally {
      closeSync(fd);
    }
  }

  /** Mounts what a descriptor leads to at `path`, wherever that leads inside of the tree. */
  bind(from: number, path: string, options: { readonly?: boolean } = {}): void {
    if (!this.#root.stat(path)) {
      if (fstatSync(from).isDirectory()) this.makeDirectory(path, 0o755, { uid: 0, gid: 0 });
      else this.makeFile(path);
    }
    const fd = this.#root.open(path, O_PATH);
    try {
      bindDescriptor(from, fd, options);
    } finally {
      closeSync(fd);
    }
  }

  /** A descriptor (O_PATH) of what `path` leads to; the caller's to close. */
  openPath(path: string): number {
    return this.#root.open(path, O_PATH);
  }

  async copyOut(path: string, destination: string): Promise<void> {
    await this.#withDirectory(path, (directory) => copyTree(directory, destination));
  }

  async extract(
    path: string,
    archive: AsyncIterable<Uint8Array>,
    options: { keepKinds: boolean; owner?: { uid: number; gid: number } },
  ): Promise<void> {
    const rules = {
      plain: true,
      ...(options.owner ? { owner: options.owner } : {}),
      ...(options.keepKinds ? { keepKinds: posix.normalize(`/${path}`).replace(/(.)\/$/, "$1") } : {}),
    };
    const plain = decompress(archive, { what: "archive", any: true });
    await this.#withDirectory(path, (directory) => unpack({ root: directory }, plain, { rules }));
  }

  /** The directory `path` as a path of ours that leads there whatever happens to the tree's names. */
  async #withDirectory<T>(path: string, work: (directory: string) => Promise<T>): Promise<T> {
    const fd = this.#root.open(path, O_PATH | O_DIRECTORY);
    try {
      return await work(`/proc/self/fd/${fd}`);
    } finally {
      closeSync(fd);
    }
  }

  /** Names in a directory, sorted. */
  names(path: string): string[] {
    const fd = this.#root.open(path, O_RDONLY | O_DIRECTORY);
    try {
      return readDirectory(fd)
        .map(({ name }) => Buffer.from(name, "latin1").toString("utf8"))
        .sort();
    } finally {
      closeSync(fd);
    }
  }

  async *packAll(): AsyncIterable<Uint8Array> {
    const links = new Map<string, string>();
    const fd = this.#root.open("/", O_RDONLY | O_DIRECTORY);
    try {
      const names = readDirectory(fd).map(({ name }) => name);
      for (const name of names.sort()) yield* packEntry(fd, name, name, links);
    } finally {
      closeSync(fd);
    }
    yield endOfArchive;
  }

  async *pack(path: string, name: string): AsyncIterable<Uint8Array> {
    const links = new Map<string, string>();
    const clean = posix.normalize(`/${path}`).replace(/(.)\/$/, "$1");
    const follow = /\/\.?$/.test(path) || clean === "/";
    const fd = this.#root.open(clean, O_PATH | (follow ? 0 : O_NOFOLLOW));
    try {
      const stat = this.#root.stat(clean, { follow });
      if (stat && (stat.mode & S_IFMT) === S_IFDIR) {
        const directory = this.#root.open(clean, O_RDONLY | O_DIRECTORY);
        try {
          yield* packDirectory(directory, latin1(name === "/" ? "." : name), stat, links);
        } finally {
          closeSync(directory);
        }
      } else {
        const parent = this.#root.open(posix.dirname(clean), O_RDONLY | O_DIRECTORY);
        try {
          yield* packEntry(parent, latin1(posix.basename(clean)), latin1(name), links);
        } finally {
          closeSync(parent);
        }
      }
    } finally {
      closeSync(fd);
    }
    yield endOfArchive;
  }
}

/** `f_flags` in struct statfs on 64-bit machines. */
const statfsFlags = 80;
const ST_RDONLY = 1;

const mountId = (fd: number) =>
  /^mnt_id:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))?.[1];

const latin1 = (text: string) => Buffer.from(text, "utf8").toString("latin1");

const kinds: Record<number, TarEntryType> = {
  [S_IFREG]: "file",
  [S_IFLNK]: "symlink",
  [S_IFCHR]: "char",
  [S_IFBLK]: "block",
  [S_IFDIR]: "directory",
  [S_IFIFO]: "fifo",
};

async function* packDirectory(
  fd: number,
  path: string,
  stat: Stat,
  links: Map<string, string>,
): AsyncGenerator<Uint8Array> {
  yield header(fd, ".", stat, `${path}/`, "", 0, "directory");
  const names = readDirectory(fd).map(({ name }) => name);
  for (const name of names.sort()) yield* packEntry(fd, name, `${path}/${name}`, links);
}

async function* packEntry(
  parent: number,
  name: string,
  path: string,
  links: Map<string, string>,
): AsyncGenerator<Uint8Array> {
  const stat = statAt(parent, cString(name));
  const kind = stat && kinds[stat.mode & S_IFMT];
  // Sockets have no place in an archive; what vanished meanwhile has none either.
  if (!stat || !kind) return;
  if (kind === "directory") {
    const fd = rawSyscall("openat", parent, cString(name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (fd < 0) return;
    try {
      yield* packDirectory(fd, path, stat, links);
    } finally {
      closeSync(fd);
    }
    return;
  }
  if (stat.nlink > 1) {
    const key = `${stat.dev}:${stat.ino}`;
    const first = links.get(key);
    if (first !== undefined) {
      yield header(parent, name, stat, path, first, 0, "link");
      return;
    }
    links.set(key, path);
  }
  if (kind === "symlink") {
    const buffer = Buffer.alloc(4096);
    const length = rawSyscall("readlinkat", parent, cString(name), buffer, buffer.length);
    if (length < 0) return;
    yield header(parent, name, stat, path, buffer.toString("latin1", 0, length), 0, kind);
    return;
  }
  if (kind !== "file") {
    yield header(parent, name, stat, path, "", 0, kind);
    return;
  }
  const fd = rawSyscall("openat", parent, cString(name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (fd < 0) return;
  try {
    const { size } = fstatSync(fd);
    yield header(parent, name, stat, path, "", size, kind);
    // Exactly what the header says, also of a file that grows or shrinks meanwhile.
    for (let left = size; left > 0; ) {
      const buffer = Buffer.alloc(Math.min(blockSize, left));
      const length = readSync(fd, buffer, 0, buffer.length, size - left);
      const piece = length > 0 ? buffer.subarray(0, length) : buffer;
      left -= piece.length;
      yield piece;
    }
    if (padding(size) > 0) yield Buffer.alloc(padding(size));
  } finally {
    closeSync(fd);
  }
}

function header(
  parent: number,
  name: string,
  stat: Stat,
  path: string,
  linkPath: string,
  size: number,
  type: TarEntryType,
): Uint8Array {
  const { major, minor } =
    type === "char" || type === "block" ? splitDevice(stat.rdev) : { major: 0, minor: 0 };
  let xattrs: ReturnType<typeof listXattrsAt> = [];
  if (type === "file" && name !== ".")
    xattrs = listXattrsAt(parent, name).filter((one) => one.name === "security.capability");
  return formatEntry({
    path,
    linkPath,
    type,
    mode: stat.mode & 0o7777,
    uid: stat.uid,
    gid: stat.gid,
    size,
    mtimeNs: stat.mtimeNs,
    major,
    minor,
    xattrs,
  });
}
