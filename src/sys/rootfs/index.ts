/**
 * Paths inside a directory that somebody else filled. Every lookup is made by the kernel from the root's
 * descriptor with openat2(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS): a symlink, `..` or absolute path ends
 * inside of it, whatever others do to the tree meanwhile.
 */
import { openSync } from "node:fs";
import { conflict, invalid } from "../../base/errors.ts";
import { removeTreeAt } from "../directory.ts";
import { rawSyscall, SyscallError, syscall } from "../libc.ts";
import { O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_PATH, O_RDONLY } from "../open.ts";
import { AT_SYMLINK_NOFOLLOW, type Stat, statAt, statFd } from "../stat.ts";

const RESOLVE_NO_MAGICLINKS = 0x02;
const RESOLVE_IN_ROOT = 0x10;
const EAGAIN = -11;

const how = new BigUint64Array(3);
const howBytes = new Uint8Array(how.buffer);
const encoder = new TextEncoder();

/** Path as NUL-terminated bytes. Strings are UTF-8; other byte sequences come as Uint8Array without NUL. */
function toPath(path: string | Uint8Array): Uint8Array {
  const bytes = typeof path === "string" ? encoder.encode(path) : path;
  if (bytes.includes(0)) throw invalid(`path ${JSON.stringify(show(path))} contains a NUL byte`);
  const out = new Uint8Array(bytes.length + 1);
  out.set(bytes);
  return out;
}

const show = (path: string | Uint8Array) => (typeof path === "string" ? path : Buffer.from(path).toString());

/**
 * openat2 below `rootFd`; returns the descriptor or the negative errno. `path` is NUL-terminated when given
 * as bytes. EAGAIN (a rename raced with `..`) is tried again a few times.
 */
export function openInRoot(rootFd: number, path: Uint8Array | string, flags: number, mode = 0): number {
  for (let attempt = 0; ; attempt++) {
    how[0] = BigInt(flags | O_CLOEXEC);
    how[1] = BigInt(mode);
    how[2] = BigInt(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
    const result = rawSyscall("openat2", rootFd, path, howBytes, howBytes.length);
    if (result !== EAGAIN || attempt === 64) return result;
  }
}

/** Splits `a/b/c` into its parent and last name; refuses a path whose last component is no name. */
function splitLast(path: string): { parent: string; name: string } {
  const trimmed = path.replace(/\/+$/, "");
  const slash = trimmed.lastIndexOf("/");
  const name = trimmed.slice(slash + 1);
  if (name === "" || name === "." || name === "..")
    throw invalid(`path ${JSON.stringify(path)} does not end in a name`);
  return { parent: slash < 0 ? "." : trimmed.slice(0, slash + 1), name };
}

/** A directory tree entered by its root; close it with `using`. */
export class Rootfs implements Disposable {
  readonly fd: number;
  readonly path: string;

  constructor(path: string) {
    this.path = path;
    this.fd = openSync(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  }

  /** Opens `path` inside the root; the caller closes the descriptor. */
  open(path: string | Uint8Array, flags: number, mode = 0): number {
    const result = openInRoot(this.fd, toPath(path), flags, mode);
    if (result < 0) throw new SyscallError("open", -result, `${show(path)} in ${this.path}`);
    return result;
  }

  /** Runs `work` with `path` opened and closes it whatever happens. */
  with<T>(path: string | Uint8Array, flags: number, work: (fd: number) => T, mode = 0): T {
    const fd = this.open(path, flags, mode);
    try {
      return work(fd);
    } finally {
      rawSyscall("close", fd);
    }
  }

  /** The stat of what `path` leads to, or undefined. `follow: false` stops at a final symlink. */
  stat(path: string, options: { follow?: boolean } = {}): Stat | undefined {
    const flags = O_PATH | (options.follow === false ? O_NOFOLLOW : 0);
    const fd = openInRoot(this.fd, toPath(path), flags);
    if (fd === -2 || fd === -20) return undefined;
    if (fd < 0) throw new SyscallError("stat", -fd, `${path} in ${this.path}`);
    try {
      return statFd(fd);
    } finally {
      rawSyscall("close", fd);
    }
  }

  /**
   * Makes `path` and its missing parents, following symlinks inside the root; returns an O_RDONLY directory
   * descriptor of it. Directories made get `mode` and, when given, the owner.
   */
  mkdirAll(path: string, mode = 0o755, owner?: { uid: number; gid: number }): number {
    const whole = openInRoot(this.fd, toPath(path), O_RDONLY | O_DIRECTORY);
    if (whole >= 0) return whole;
    if (whole !== -2) throw new SyscallError("mkdir", -whole, `${path} in ${this.path}`);
    let prefix = "";
    let fd = this.open(".", O_RDONLY | O_DIRECTORY);
    try {
      for (const name of path.split("/")) {
        if (name === "" || name === ".") continue;
        prefix += `/${name}`;
        if (name !== "..") {
          const made = rawSyscall("mkdirat", fd, name, mode);
          if (made < 0 && made !== -17) throw new SyscallError("mkdir", -made, `${prefix} in ${this.path}`);
          if (made === 0) this.#own(fd, name, mode, owner);
        }
        const next = this.#enter(prefix);
        rawSyscall("close", fd);
        fd = next;
      }
    } catch (error) {
      rawSyscall("close", fd);
      throw error;
    }
    return fd;
  }

  #enter(prefix: string): number {
    const fd = openInRoot(this.fd, toPath(prefix), O_RDONLY | O_DIRECTORY);
    if (fd === -2)
      throw conflict(
        `${prefix} in ${this.path} is a symlink that leads to nothing, cannot make it a directory`,
      );
    if (fd < 0) throw new SyscallError("mkdir", -fd, `${prefix} in ${this.path}`);
    return fd;
  }

  /** A directory just made: its exact mode despite the umask, and its owner. */
  #own(parent: number, name: string, mode: number, owner: { uid: number; gid: number } | undefined): void {
    const fd = syscall("openat", [parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC], name);
    try {
      if (owner) syscall("fchown", [fd, owner.uid, owner.gid], name);
      syscall("fchmod", [fd, mode], name);
    } finally {
      rawSyscall("close", fd);
    }
  }

  /** Runs `work` with the parent directory of `path` and the last name: for calls of the `…at` kind. */
  withParent<T>(path: string, work: (parentFd: number, name: string) => T): T {
    const { parent, name } = splitLast(path);
    return this.with(parent, O_RDONLY | O_DIRECTORY, (fd) => work(fd, name));
  }

  lchown(path: string, uid: number, gid: number): void {
    this.withParent(path, (fd, name) => {
      syscall("fchownat", [fd, name, uid, gid, AT_SYMLINK_NOFOLLOW], path);
    });
  }

  /** Changes the mode of what `path` leads to inside the root. */
  chmod(path: string, mode: number): void {
    this.with(path, O_PATH, (fd) => {
      syscall("fchmodat", [-100, `/proc/self/fd/${fd}`, mode], path);
    });
  }

  /** Sets access and modification time in nanoseconds, of a symlink itself. */
  utimes(path: string, atimeNs: bigint, mtimeNs: bigint): void {
    this.withParent(path, (fd, name) => setTimesAt(fd, name, atimeNs, mtimeNs));
  }

  symlink(target: string, path: string): void {
    this.withParent(path, (fd, name) => {
      syscall("symlinkat", [target, fd, name], path);
    });
  }

  /** What the symlink at `path` says, or undefined when it is none. */
  readlink(path: string): string | undefined {
    return this.withParent(path, (fd, name) => {
      const buffer = Buffer.alloc(4096);
      const length = rawSyscall("readlinkat", fd, name, buffer, buffer.length);
      return length < 0 ? undefined : buffer.toString("utf8", 0, length);
    });
  }

  /** Removes `path` with everything below it; a missing path is fine. */
  remove(path: string): void {
    this.withParent(path, (fd, name) => removeTreeAt(fd, Buffer.from(name).toString("latin1")));
  }

  /** The entry `path` itself, its parents resolved inside the root. */
  lstat(path: string): Stat | undefined {
    return this.withParent(path, (fd, name) => statAt(fd, name));
  }

  [Symbol.dispose](): void {
    rawSyscall("close", this.fd);
  }
}

const times = new BigInt64Array(4);
const timesBytes = new Uint8Array(times.buffer);

function fillTimes(atimeNs: bigint, mtimeNs: bigint): void {
  // timespec wants 0 ≤ nsec < 1e9 also before 1970, so the division rounds down.
  for (const [at, value] of [atimeNs, mtimeNs].entries()) {
    const nanoseconds = ((value % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
    times[at * 2] = (value - nanoseconds) / 1_000_000_000n;
    times[at * 2 + 1] = nanoseconds;
  }
}

/** utimensat(2) of the entry itself; `name` NUL-terminated when bytes. */
export function setTimesAt(dirFd: number, name: string | Uint8Array, atimeNs: bigint, mtimeNs: bigint): void {
  fillTimes(atimeNs, mtimeNs);
  syscall("utimensat", [dirFd, name, timesBytes, AT_SYMLINK_NOFOLLOW]);
}

/** futimens(3) of an open file. */
export function setTimesFd(fd: number, atimeNs: bigint, mtimeNs: bigint): void {
  fillTimes(atimeNs, mtimeNs);
  const result = rawSyscall("utimensat", fd, null, timesBytes, 0);
  if (result < 0) throw new SyscallError("futimens", -result);
}
