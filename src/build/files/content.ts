/** What a copy's sources hold, as one digest: names, types, modes, owners, attributes, content; never times. */
import { createHash, type Hash } from "node:crypto";
import { baseOf, join } from "../../archive/paths.ts";
import { notFound } from "../../base/errors.ts";
import { cString } from "../../sys/directory.ts";
import { rawSyscall, SyscallError } from "../../sys/libc.ts";
import { type ManyStat, S_IFBLK, S_IFCHR, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG } from "../../sys/stat.ts";
import type { FileHashes } from "../types.ts";
import { countedXattrs, FileDigests, hashAttributes } from "./digest.ts";
import { type ModeChange, parseMode } from "./mode.ts";
import { readLinkAt } from "./root.ts";
import { type CopyAction, type Selection, type SourceTree, select } from "./select.ts";
import type { Turns } from "./turns.ts";
import { type Visitor, walk } from "./walk.ts";

/** The mode that a copy gets, of the twelve bits that its source has. */
export function modeChange(mode: number | string | undefined): ModeChange {
  if (mode === undefined) return (bits) => bits;
  if (typeof mode === "number") return () => mode & 0o7777;
  return parseMode(mode);
}

/** Digest of all that `action` would take from `tree`. */
export async function contentOf(
  tree: SourceTree,
  action: CopyAction,
  hashes: FileHashes | undefined,
  turns: Turns,
): Promise<string> {
  const hash = createHash("sha256");
  const digests = new FileDigests(hashes, turns);
  for (const selection of select(tree, action)) {
    const entries = new Entries(hash, tree, action, selection, digests);
    await entries.all(turns);
    if (selection.required && !entries.seenRequired)
      throw notFound(`${JSON.stringify(selection.required.shown)}: not found`);
  }
  return hash.digest("hex");
}

/** Lines are gathered: a hash takes long ones faster than many short ones. */
const lineBatch = 256;

class Entries implements Visitor {
  readonly #hash: Hash;
  readonly #tree: SourceTree;
  readonly #action: CopyAction;
  readonly #selection: Selection;
  readonly #digests: FileDigests;
  readonly #mode: ModeChange;
  #lines: string[] = [];
  seenRequired = false;

  constructor(hash: Hash, tree: SourceTree, action: CopyAction, selection: Selection, digests: FileDigests) {
    this.#hash = hash;
    this.#tree = tree;
    this.#action = action;
    this.#selection = selection;
    this.#digests = digests;
    this.#mode = modeChange(action.mode);
  }

  async all(turns: Turns): Promise<void> {
    const { path, name, stat, isDirectory, filter } = this.#selection;
    const root = this.#tree.root;
    if (isDirectory) {
      // The directory's own name, mode and owner go nowhere: only what is in it is copied.
      this.#lines.push("contents\n");
      const fd = root.openDirectory(path);
      if (fd < 0) throw new SyscallError("open", -fd, path);
      try {
        await walk(fd, "", filter, this, turns);
      } finally {
        rawSyscall("close", fd);
      }
    } else {
      this.#lines.push("entry\n");
      const work = root.withParent(path, (fd) =>
        // A file of the root itself keeps its parent's descriptor open only as long as it takes.
        this.#entry(rawSyscall("dup", fd), cString(baseOf(path)), stat, name, path),
      );
      await work;
    }
    this.#flush();
  }

  /** Takes the descriptor over. */
  async #entry(parent: number, bytes: Uint8Array, stat: ManyStat, name: string, path: string): Promise<void> {
    try {
      const digest =
        (stat.mode & S_IFMT) === S_IFREG
          ? await this.#digests.of(parent, bytes, stat, path)
          : this.#describe(parent, bytes, stat);
      this.#add(stat, name, digest);
    } finally {
      rawSyscall("close", parent);
    }
  }

  file(parent: number, name: Uint8Array, stat: ManyStat, path: string): void | Promise<void> {
    if ((stat.mode & S_IFMT) !== S_IFREG) {
      this.#add(stat, path, this.#describe(parent, name, stat));
      return;
    }
    const digest = this.#digests.of(parent, name, stat, join(this.#selection.path, path));
    if (typeof digest === "string") this.#add(stat, path, digest);
    else return digest.then((known) => this.#add(stat, path, known));
  }

  enter(parent: number, name: Uint8Array, stat: ManyStat, path: string): void {
    this.#add(stat, path, this.#describe(parent, name, stat));
  }

  leave(): void {}

  /** What of an entry that is no regular file is copied. */
  #describe(parent: number, name: Uint8Array, stat: ManyStat): string {
    const type = stat.mode & S_IFMT;
    const what =
      type === S_IFLNK
        ? readLinkAt(parent, name)
        : type === S_IFCHR || type === S_IFBLK
          ? `${stat.rdev}`
          : "";
    const text = Buffer.from(name.buffer, name.byteOffset, name.length - 1).toString("latin1");
    const attributes = countedXattrs(parent, text);
    return attributes.length === 0 ? what : `${what}\0${hashAttributes("", attributes)}`;
  }

  #add(stat: ManyStat, path: string, content: string): void {
    const { required } = this.#selection;
    if (required && path.startsWith(required.path)) this.seenRequired = true;
    const type = stat.mode & S_IFMT;
    const mode = type === S_IFLNK ? 0o777 : this.#mode(stat.mode & 0o7777, type === S_IFDIR);
    const owner = this.#action.owner || this.#tree.ownerless ? "" : `${stat.uid}:${stat.gid}`;
    this.#lines.push(`${type | mode} ${owner} ${path}\0${content}\0\n`);
    if (this.#lines.length >= lineBatch) this.#flush();
  }

  #flush(): void {
    this.#hash.update(this.#lines.join(""), "latin1");
    this.#lines = [];
  }
}
