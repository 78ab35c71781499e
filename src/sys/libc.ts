/**
 * The one file that touches `bun:ffi`: raw system calls through libc's `syscall(2)` wrapper.
 * Calls are synchronous and run on the calling thread; use them for calls that do not block.
 */
import { dlopen, FFIType, ptr, read } from "bun:ffi";
import { constants } from "node:os";
import { CortenError } from "../base/errors.ts";

const lib = dlopen("libc.so.6", {
  syscall: {
    args: [FFIType.i64, FFIType.i64, FFIType.i64, FFIType.i64, FFIType.i64, FFIType.i64, FFIType.i64],
    returns: FFIType.i64_fast,
  },
  __errno_location: { args: [], returns: FFIType.ptr },
});

/** x86_64 and aarch64 numbers of the calls in use (kernel: arch/x86/entry/syscalls, asm-generic/unistd.h). */
const numbers = {
  x64: {
    ioctl: 16,
    mount: 165,
    umount2: 166,
    unshare: 272,
    setns: 308,
    socket: 41,
    bind: 49,
    socketpair: 53,
    connect: 42,
    listen: 50,
    sendto: 44,
    recvfrom: 45,
    setsockopt: 54,
    openat: 257,
    mkdirat: 258,
    mknodat: 259,
    fchownat: 260,
    unlinkat: 263,
    renameat2: 316,
    linkat: 265,
    symlinkat: 266,
    readlinkat: 267,
    fchmodat: 268,
    utimensat: 280,
    newfstatat: 262,
    fchown: 93,
    fchmod: 91,
    lsetxattr: 189,
    lgetxattr: 192,
    llistxattr: 195,
    fsetxattr: 190,
    fgetxattr: 193,
    flistxattr: 196,
    memfd_create: 319,
    fcntl: 72,
    openat2: 437,
    pidfd_open: 434,
    pidfd_send_signal: 424,
    kill: 62,
    bpf: 321,
    clock_gettime: 228,
    open_tree: 428,
    move_mount: 429,
    fsopen: 430,
    fsconfig: 431,
    fsmount: 432,
    mount_setattr: 442,
    close: 3,
    prctl: 157,
    flock: 73,
    copy_file_range: 326,
    sendfile: 40,
    lseek: 8,
    ftruncate: 77,
    statfs: 137,
    fstatfs: 138,
    sync_file_range: 277,
    syncfs: 306,
    dup: 32,
    recvmsg: 47,
    sendmsg: 46,
    read: 0,
    write: 1,
    chroot: 161,
    prlimit64: 302,
    capget: 125,
    sched_getaffinity: 204,
    sched_setattr: 314,
    getdents64: 217,
    fallocate: 285,
    fdatasync: 75,
    fsync: 74,
    poll: 7,
    waitid: 247,
    quotactl: 179,
    name_to_handle_at: 303,
    madvise: 28,
    mkfifo: -1,
  },
  arm64: {
    ioctl: 29,
    mount: 40,
    umount2: 39,
    unshare: 97,
    setns: 268,
    socket: 198,
    bind: 200,
    socketpair: 199,
    connect: 203,
    listen: 201,
    sendto: 206,
    recvfrom: 207,
    setsockopt: 208,
    openat: 56,
    mkdirat: 34,
    mknodat: 33,
    fchownat: 54,
    unlinkat: 35,
    renameat2: 276,
    linkat: 37,
    symlinkat: 36,
    readlinkat: 78,
    fchmodat: 53,
    utimensat: 88,
    newfstatat: 79,
    fchown: 55,
    fchmod: 52,
    lsetxattr: 6,
    lgetxattr: 9,
    llistxattr: 12,
    fsetxattr: 7,
    fgetxattr: 10,
    flistxattr: 13,
    memfd_create: 279,
    madvise: 233,
    fcntl: 25,
    openat2: 437,
    pidfd_open: 434,
    pidfd_send_signal: 424,
    kill: 129,
    bpf: 280,
    clock_gettime: 113,
    open_tree: 428,
    move_mount: 429,
    fsopen: 430,
    fsconfig: 431,
    fsmount: 432,
    mount_setattr: 442,
    close: 57,
    prctl: 167,
    flock: 32,
    copy_file_range: 285,
    sendfile: 71,
    lseek: 62,
    ftruncate: 46,
    statfs: 43,
    fstatfs: 44,
    sync_file_range: 84,
    syncfs: 267,
    dup: 23,
    recvmsg: 212,
    sendmsg: 211,
    read: 63,
    write: 64,
    chroot: 51,
    prlimit64: 261,
    capget: 90,
    sched_getaffinity: 123,
    sched_setattr: 274,
    getdents64: 61,
    fallocate: 47,
    fdatasync: 83,
    fsync: 82,
    poll: -1,
    waitid: 95,
    quotactl: 60,
    name_to_handle_at: 264,
    mkfifo: -1,
  },
} as const;

export type SyscallName = keyof (typeof numbers)["x64"];
const table = numbers[process.arch as "x64" | "arm64"];

type Arg = number | bigint | Uint8Array | string | null;

/** Keeps the NUL-terminated copies of string arguments alive for the length of the call. */
const encoder = new TextEncoder();

function toArg(value: Arg, keep: Uint8Array[]): number | bigint {
  if (value === null) return 0;
  if (typeof value === "number" || typeof value === "bigint") return value;
  if (typeof value === "string") {
    if (value.includes("\0"))
      throw new CortenError("invalid_argument", `NUL byte in ${JSON.stringify(value)}`);
    const bytes = encoder.encode(`${value}\0`);
    keep.push(bytes);
    return ptr(bytes);
  }
  if (value.byteLength === 0) return 0;
  keep.push(value);
  return ptr(value);
}

const errnoNames = new Map<number, string>(
  Object.entries(constants.errno).map(([name, number]) => [number, name]),
);

/** A failed system call: `errno` is the number, `code` in CortenError's set, the message names the call. */
export class SyscallError extends CortenError {
  readonly errno: number;
  readonly errnoName: string;
  constructor(call: string, errno: number, detail = "") {
    const name = errnoNames.get(errno) ?? `errno ${errno}`;
    super(codeOf(name), `${call}${detail ? ` ${detail}` : ""}: ${describeErrno(errno)}`);
    this.errno = errno;
    this.errnoName = name;
  }
}

function codeOf(name: string) {
  switch (name) {
    case "ENOENT":
      return "not_found" as const;
    case "EEXIST":
      return "already_exists" as const;
    case "EPERM":
    case "EACCES":
      return "permission_denied" as const;
    case "EINVAL":
      return "invalid_argument" as const;
    case "ENOSPC":
    case "ENOMEM":
    case "EMFILE":
      return "resource_exhausted" as const;
    case "EBUSY":
      return "failed_precondition" as const;
    default:
      return "internal" as const;
  }
}

const errnoTexts: Record<string, string> = {
  EPERM: "operation not permitted",
  ENOENT: "no such file or directory",
  ESRCH: "no such process",
  EINTR: "interrupted system call",
  EIO: "input/output error",
  ENXIO: "no such device or address",
  E2BIG: "argument list too long",
  ENOEXEC: "exec format error",
  EBADF: "bad file descriptor",
  ECHILD: "no child processes",
  EAGAIN: "resource temporarily unavailable",
  ENOMEM: "cannot allocate memory",
  EACCES: "permission denied",
  EFAULT: "bad address",
  EBUSY: "device or resource busy",
  EEXIST: "file exists",
  EXDEV: "invalid cross-device link",
  ENODEV: "no such device",
  ENOTDIR: "not a directory",
  EISDIR: "is a directory",
  EINVAL: "invalid argument",
  ENFILE: "too many open files in system",
  EMFILE: "too many open files",
  ENOTTY: "inappropriate ioctl for device",
  ETXTBSY: "text file busy",
  EFBIG: "file too large",
  ENOSPC: "no space left on device",
  ESPIPE: "illegal seek",
  EROFS: "read-only file system",
  EMLINK: "too many links",
  EPIPE: "broken pipe",
  ENAMETOOLONG: "file name too long",
  ENOSYS: "function not implemented",
  ENOTEMPTY: "directory not empty",
  ELOOP: "too many levels of symbolic links",
  EOPNOTSUPP: "operation not supported",
  EADDRINUSE: "address already in use",
  EADDRNOTAVAIL: "cannot assign requested address",
  ENETDOWN: "network is down",
  ENETUNREACH: "network is unreachable",
  ETIMEDOUT: "connection timed out",
  ECONNREFUSED: "connection refused",
  EOVERFLOW: "value too large for defined data type",
  ESTALE: "stale file handle",
  EDQUOT: "disk quota exceeded",
};

/** The kernel's errno in the words Go and the field use ("operation not permitted"). */
export function describeErrno(errno: number): string {
  const name = errnoNames.get(errno);
  return name ? (errnoTexts[name] ?? name) : `errno ${errno}`;
}

/** Runs a system call and returns its result, or the negative errno as the kernel itself does. */
export function rawSyscall(name: SyscallName, ...args: Arg[]): number {
  const keep: Uint8Array[] = [];
  const values = args.map((arg) => toArg(arg, keep));
  const result = Number(
    lib.symbols.syscall(
      table[name],
      values[0] ?? 0,
      values[1] ?? 0,
      values[2] ?? 0,
      values[3] ?? 0,
      values[4] ?? 0,
      values[5] ?? 0,
    ),
  );
  if (result !== -1) return result;
  return -read.i32(lib.symbols.__errno_location()!, 0);
}

/**
 * As `rawSyscall`, for numbers only and without allocating: for the few calls between which the thread is in
 * a state no other code should meet (see netns.ts), and for those made for each of many thousand files.
 */
export function bareSyscall(name: SyscallName, a = 0, b = 0, c = 0, d = 0): number {
  const result = Number(lib.symbols.syscall(table[name], a, b, c, d, 0, 0));
  return result !== -1 ? result : -read.i32(lib.symbols.__errno_location()!, 0);
}

/** Runs a system call; a failure throws `SyscallError` with `detail` naming the object. */
export function syscall(name: SyscallName, args: Arg[], detail = ""): number {
  const result = rawSyscall(name, ...args);
  if (result < 0) throw new SyscallError(name, -result, detail);
  return result;
}

/** Address of a buffer, for structures that hold pointers. The caller keeps the buffer alive during the call. */
export function addressOf(buffer: Uint8Array): bigint {
  return BigInt(ptr(buffer));
}
