import { addressOf, bareSyscall, rawSyscall, SyscallError } from "./libc.ts";

/** `struct stat` of the kernel, times in nanoseconds as the file system keeps them. */
export interface Stat {
  dev: bigint;
  ino: bigint;
  mode: number;
  nlink: number;
  uid: number;
  gid: number;
  rdev: bigint;
  size: number;
  blocks: number;
  atimeNs: bigint;
  mtimeNs: bigint;
  ctimeNs: bigint;
}

export const S_IFMT = 0o170000;
export const S_IFSOCK = 0o140000;
export const S_IFLNK = 0o120000;
export const S_IFREG = 0o100000;
export const S_IFBLK = 0o060000;
export const S_IFDIR = 0o040000;
export const S_IFCHR = 0o020000;
export const S_IFIFO = 0o010000;

export const AT_FDCWD = -100;
export const AT_SYMLINK_NOFOLLOW = 0x100;
export const AT_REMOVEDIR = 0x200;
export const AT_EMPTY_PATH = 0x1000;

const buffer = new Uint8Array(144);
const view = new DataView(buffer.buffer);

/** The two architectures order the first fields differently (asm/stat.h, asm-generic/stat.h). */
const x64 = process.arch === "x64";

function parse(): Stat {
  const time = (at: number) => view.getBigInt64(at, true) * 1_000_000_000n + view.getBigInt64(at + 8, true);
  return {
    dev: view.getBigUint64(0, true),
    ino: view.getBigUint64(8, true),
    nlink: x64 ? Number(view.getBigUint64(16, true)) : view.getUint32(20, true),
    mode: view.getUint32(x64 ? 24 : 16, true),
    uid: view.getUint32(x64 ? 28 : 24, true),
    gid: view.getUint32(x64 ? 32 : 28, true),
    rdev: view.getBigUint64(x64 ? 40 : 32, true),
    size: Number(view.getBigInt64(48, true)),
    blocks: Number(view.getBigInt64(64, true)),
    atimeNs: time(72),
    mtimeNs: time(88),
    ctimeNs: time(104),
  };
}

/** The stat of `name` below `dirFd`, not following a symlink; undefined when there is no such entry. */
export function statAt(dirFd: number, name: string | Uint8Array): Stat | undefined {
  const result = rawSyscall("newfstatat", dirFd, name, buffer, AT_SYMLINK_NOFOLLOW);
  if (result === 0) return parse();
  if (result === -2 || result === -20) return undefined;
  throw new SyscallError("newfstatat", -result, typeof name === "string" ? name : "");
}

const nameBuffer = Buffer.alloc(4097);
let nameAddress = 0;
let statAddress = 0;

/**
 * As `statAt`, for a name in latin1 bytes, of an entry among very many: what is not asked of the answer is not
 * computed, and nothing is allocated for the call.
 */
export function statManyAt(dirFd: number, name: string): ManyStat | undefined {
  // Buffers of their own memory do not move.
  nameAddress ||= Number(addressOf(nameBuffer));
  statAddress ||= Number(addressOf(buffer));
  if (name.length > 4096) throw new SyscallError("newfstatat", 36, displayName(name));
  nameBuffer[nameBuffer.write(name, 0, name.length, "latin1")] = 0;
  const result = bareSyscall("newfstatat", dirFd, nameAddress, statAddress, AT_SYMLINK_NOFOLLOW);
  if (result === 0) return new ManyStat();
  if (result === -2 || result === -20) return undefined;
  throw new SyscallError("newfstatat", -result, displayName(name));
}

const displayName = (name: string): string => JSON.stringify(Buffer.from(name, "latin1").toString());

/** The same of an open file. */
export function statManyFd(fd: number): ManyStat {
  const result = rawSyscall("newfstatat", fd, "", buffer, AT_EMPTY_PATH);
  if (result < 0) throw new SyscallError("fstat", -result);
  return new ManyStat();
}

/** A `Stat` that keeps the kernel's bytes. */
export class ManyStat implements Stat {
  readonly #bytes: Buffer = Buffer.from(buffer);
  readonly mode: number = view.getUint32(x64 ? 24 : 16, true);
  readonly nlink: number = view.getUint32(x64 ? 16 : 20, true);
  readonly uid: number = view.getUint32(x64 ? 28 : 24, true);
  readonly gid: number = view.getUint32(x64 ? 32 : 28, true);

  get dev(): bigint {
    return this.#bytes.readBigUInt64LE(0);
  }
  get ino(): bigint {
    return this.#bytes.readBigUInt64LE(8);
  }
  get rdev(): bigint {
    return this.#bytes.readBigUInt64LE(x64 ? 40 : 32);
  }
  get size(): number {
    return this.#bytes.readUInt32LE(48) + this.#bytes.readUInt32LE(52) * 2 ** 32;
  }
  get blocks(): number {
    return Number(this.#bytes.readBigInt64LE(64));
  }
  get atimeNs(): bigint {
    return this.#time(72);
  }
  get mtimeNs(): bigint {
    return this.#time(88);
  }
  get ctimeNs(): bigint {
    return this.#time(104);
  }
  /** Size, times, inode and device as text: all that changes with a file's content or attributes. */
  get stamp(): string {
    const bytes = this.#bytes;
    return (
      bytes.toString("base64", 88, 120) + bytes.toString("base64", 48, 56) + bytes.toString("base64", 0, 16)
    );
  }
  #time(at: number): bigint {
    return this.#bytes.readBigInt64LE(at) * 1_000_000_000n + this.#bytes.readBigInt64LE(at + 8);
  }
}

/** The stat of an open file. */
export function statFd(fd: number): Stat {
  const result = rawSyscall("newfstatat", fd, "", buffer, AT_EMPTY_PATH);
  if (result < 0) throw new SyscallError("fstat", -result);
  return parse();
}

/** Linux's encoding of a device number in `st_rdev` and `mknod` (include/linux/kdev_t.h). */
export function makeDevice(major: number, minor: number): bigint {
  const high = BigInt(major);
  const low = BigInt(minor);
  return (
    ((high & 0xfffff000n) << 32n) | ((low & 0xffffff00n) << 12n) | ((high & 0xfffn) << 8n) | (low & 0xffn)
  );
}

export function splitDevice(device: bigint): { major: number; minor: number } {
  return {
    major: Number(((device >> 32n) & 0xfffff000n) | ((device >> 8n) & 0xfffn)),
    minor: Number(((device >> 12n) & 0xffffff00n) | (device & 0xffn)),
  };
}
