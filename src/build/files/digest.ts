/** Digests of single files: what they hold and their extended attributes, remembered where that is safe. */
import { createHash } from "node:crypto";
import type { Digest } from "../../oci/digest.ts";
import { displayName } from "../../sys/directory.ts";
import { rawSyscall, SyscallError } from "../../sys/libc.ts";
import { O_CLOEXEC, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } from "../../sys/open.ts";
import type { ManyStat } from "../../sys/stat.ts";
import { listXattrsAt, type Xattr } from "../../sys/xattr.ts";
import type { FileHashes } from "../types.ts";
import type { Turns } from "./turns.ts";

/**
 * A change within the clock's granularity leaves no trace in the times, so what changed this recently is
 * not remembered (as git's index does).
 */
const racyNs = 2_000_000_000n;
const small = 64 << 10;
const large = 1 << 20;
/** From here on a process of its own is worth its start. */
const huge = 48 << 20;

const smallBuffer = Buffer.allocUnsafe(small);
const xattrNames = Buffer.allocUnsafe(4096);

export class FileDigests {
  readonly #hashes: FileHashes | undefined;
  readonly #turns: Turns;
  readonly #now = BigInt(Date.now()) * 1_000_000n;
  #large: Buffer | undefined;

  constructor(hashes: FileHashes | undefined, turns: Turns) {
    this.#hashes = hashes;
    this.#turns = turns;
  }

  /** Of the regular file `name` (NUL-terminated) in `parent`; `path` is from the root of the tree. */
  of(parent: number, name: Uint8Array, stat: ManyStat, path: string): string | Promise<string> {
    const stamp = this.#hashes ? stat.stamp : "";
    const known = this.#hashes?.get(path, stamp);
    if (known !== undefined) return known;
    const flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    const fd = rawSyscall("openat", parent, name, flags);
    if (fd < 0) throw new SyscallError("open", -fd, displayName(path));
    const finish = (content: string): string => {
      const hasAttributes = rawSyscall("flistxattr", fd, xattrNames, xattrNames.length) !== 0;
      rawSyscall("close", fd);
      const attributes = hasAttributes ? countedXattrs(parent, baseName(name)) : [];
      const digest: Digest = `sha256:${attributes.length === 0 ? content : hashAttributes(content, attributes)}`;
      if (this.#hashes && this.#now - stat.ctimeNs > racyNs) this.#hashes.set(path, stamp, digest);
      return digest;
    };
    const fail = (error: unknown): never => {
      rawSyscall("close", fd);
      throw error;
    };
    try {
      const first = read(fd, smallBuffer, path);
      if (first === stat.size || first === 0)
        return finish(createHash("sha256").update(smallBuffer.subarray(0, first)).digest("hex"));
      if (stat.size >= huge) return inProcess(fd, this.#turns).then(finish, fail);
      const hash = createHash("sha256").update(smallBuffer.subarray(0, first));
      return this.#rest(fd, hash, path).then(finish, fail);
    } catch (error) {
      rawSyscall("close", fd);
      throw error;
    }
  }

  async #rest(fd: number, hash: ReturnType<typeof createHash>, path: string): Promise<string> {
    this.#large ??= Buffer.allocUnsafe(large);
    for (;;) {
      const length = read(fd, this.#large, path);
      if (length === 0) return hash.digest("hex");
      hash.update(this.#large.subarray(0, length));
      if (this.#turns.due) await this.#turns.pause();
    }
  }
}

async function inProcess(fd: number, turns: Turns): Promise<string> {
  const { digestInProcess } = await import("./spawn.ts");
  return await digestInProcess(fd, turns.signal);
}

const baseName = (name: Uint8Array): string =>
  Buffer.from(name.buffer, name.byteOffset, name.length - 1).toString("latin1");

function read(fd: number, buffer: Buffer, path: string): number {
  const length = rawSyscall("read", fd, buffer, buffer.length);
  if (length < 0) throw new SyscallError("read", -length, displayName(path));
  return length;
}

/** Whether an attribute is part of what is copied, and the same on every machine. */
export const isCounted = (attribute: string): boolean =>
  attribute === "security.capability" ||
  !/^(?:security|system|trusted\.overlay|com\.apple)\./.test(attribute);

export function countedXattrs(parent: number, name: string): Xattr[] {
  return listXattrsAt(parent, name).filter((one) => isCounted(one.name));
}

export function hashAttributes(content: string, attributes: readonly Xattr[]): string {
  const hash = createHash("sha256").update(content);
  for (const { name, value } of attributes)
    hash.update(`\0${name}\0${value.length}\0`, "latin1").update(value);
  return hash.digest("hex");
}
