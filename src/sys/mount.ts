/**
 * Mounts as containerd describes them, performed with mount(2) where that can carry the options and with
 * the newer calls (fsopen, fsconfig, move_mount) where it cannot.
 */
import { mkdtempSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { invalid } from "../base/errors.ts";
import { rawSyscall, SyscallError, syscall } from "./libc.ts";
import { O_CLOEXEC, O_DIRECTORY, O_PATH } from "./open.ts";
import { openInRoot } from "./rootfs/index.ts";
import { AT_FDCWD } from "./stat.ts";

/** A mount as containerd describes it (api/types/mount.proto): options are mount(8)'s words. */
export interface Mount {
  type: string;
  source: string;
  /** A directory below the mount point, "" or absent for the mount point itself. */
  target?: string;
  options: string[];
}

export const MS_RDONLY = 1;
export const MS_NOSUID = 2;
export const MS_NODEV = 4;
export const MS_NOEXEC = 8;
export const MS_SYNCHRONOUS = 16;
export const MS_REMOUNT = 32;
export const MS_MANDLOCK = 64;
export const MS_DIRSYNC = 128;
export const MS_NOSYMFOLLOW = 256;
export const MS_NOATIME = 1024;
export const MS_NODIRATIME = 2048;
export const MS_BIND = 4096;
export const MS_REC = 16384;
export const MS_SILENT = 32768;
export const MS_UNBINDABLE = 1 << 17;
export const MS_PRIVATE = 1 << 18;
export const MS_SLAVE = 1 << 19;
export const MS_SHARED = 1 << 20;
export const MS_RELATIME = 1 << 21;
export const MS_STRICTATIME = 1 << 24;

export const MNT_FORCE = 1;
export const MNT_DETACH = 2;
export const UMOUNT_NOFOLLOW = 8;

/** mount(8)'s words: [flag, whether the word clears it]. */
const flagWords: Readonly<Record<string, readonly [flag: number, clear?: boolean]>> = {
  async: [MS_SYNCHRONOUS, true],
  atime: [MS_NOATIME, true],
  bind: [MS_BIND],
  defaults: [0],
  dev: [MS_NODEV, true],
  diratime: [MS_NODIRATIME, true],
  dirsync: [MS_DIRSYNC],
  exec: [MS_NOEXEC, true],
  mand: [MS_MANDLOCK],
  noatime: [MS_NOATIME],
  nodev: [MS_NODEV],
  nodiratime: [MS_NODIRATIME],
  noexec: [MS_NOEXEC],
  nomand: [MS_MANDLOCK, true],
  norelatime: [MS_RELATIME, true],
  nostrictatime: [MS_STRICTATIME, true],
  nosuid: [MS_NOSUID],
  nosymfollow: [MS_NOSYMFOLLOW],
  rbind: [MS_BIND | MS_REC],
  relatime: [MS_RELATIME],
  remount: [MS_REMOUNT],
  ro: [MS_RDONLY],
  rw: [MS_RDONLY, true],
  silent: [MS_SILENT],
  strictatime: [MS_STRICTATIME],
  suid: [MS_NOSUID, true],
  symfollow: [MS_NOSYMFOLLOW, true],
  sync: [MS_SYNCHRONOUS],
};

const propagationWords: Readonly<Record<string, number>> = {
  private: MS_PRIVATE,
  rprivate: MS_PRIVATE | MS_REC,
  shared: MS_SHARED,
  rshared: MS_SHARED | MS_REC,
  slave: MS_SLAVE,
  rslave: MS_SLAVE | MS_REC,
  unbindable: MS_UNBINDABLE,
  runbindable: MS_UNBINDABLE | MS_REC,
};

export interface ParsedOptions {
  flags: number;
  /** Propagation changes, each a mount(2) of its own after the mount. */
  propagation: number[];
  /** What the file system itself understands. */
  data: string[];
}

/** Sorts mount(8) words into flags, propagation and file system data; user-space words (`x-…`) are dropped. */
export function parseMountOptions(options: readonly string[]): ParsedOptions {
  const parsed: ParsedOptions = { flags: 0, propagation: [], data: [] };
  for (const option of options) {
    const flag = flagWords[option];
    const propagation = propagationWords[option];
    if (flag) parsed.flags = flag[1] ? parsed.flags & ~flag[0] : parsed.flags | flag[0];
    else if (propagation !== undefined) parsed.propagation.push(propagation);
    else if (option !== "" && !/^x-/i.test(option)) parsed.data.push(option);
  }
  return parsed;
}

/** The option string of mount(2) must fit into one page, with its NUL. */
const dataLimit = 4096;

/** Gives a path of the mount point as it is now: after a mount, what is mounted there. */
type Place = <T>(work: (path: string) => T) => T;

/**
 * Mounts `mount` at `root` (or at `mount.target` below it, resolved inside of `root`). A bind with further
 * flags takes the second call the kernel wants for them.
 */
export function mountAt(mount: Mount, root: string): void {
  const { target } = mount;
  mountOn(mount, target ? (work) => inRoot(root, target, work) : (work) => work(root));
}

function inRoot<T>(root: string, target: string, work: (path: string) => T): T {
  const rootFd = syscall("openat", [AT_FDCWD, root, O_PATH | O_DIRECTORY | O_CLOEXEC], root);
  try {
    const fd = openInRoot(rootFd, target, O_PATH);
    if (fd < 0) throw new SyscallError("open", -fd, `mount target ${target} in ${root}`);
    try {
      return work(`/proc/self/fd/${fd}`);
    } finally {
      rawSyscall("close", fd);
    }
  } finally {
    rawSyscall("close", rootFd);
  }
}

function mountOn(mount: Mount, place: Place): void {
  const { flags, propagation, data } = parseMountOptions(mount.options);
  const what = `${mount.type || "bind"} ${mount.source}`;
  const text = data.join(",");
  const changes = propagation.slice();
  if ((flags & MS_BIND) === 0 && Buffer.byteLength(text) >= dataLimit) {
    place((path) => mountByParts(mount, data, flags, path));
  } else {
    const first = flags & MS_BIND && !(flags & MS_REMOUNT) ? flags & (MS_BIND | MS_REC | MS_SILENT) : flags;
    place((path) =>
      syscall(
        "mount",
        [mount.source || "none", path, mount.type || "none", first, text || null],
        `${what} on ${path}`,
      ),
    );
    if (first !== flags) changes.unshift(MS_BIND | MS_REMOUNT | (flags & ~MS_REC));
  }
  for (const change of changes) {
    const result = place((path) => rawSyscall("mount", null, path, null, change, null));
    if (result < 0) {
      place((path) => rawSyscall("umount2", path, MNT_DETACH));
      throw new SyscallError("mount", -result, `${what} with ${mount.options.join(",")}`);
    }
  }
}

const FSCONFIG_SET_FLAG = 0;
const FSCONFIG_SET_STRING = 1;
const FSCONFIG_CMD_CREATE = 6;
const FSOPEN_CLOEXEC = 1;
const FSMOUNT_CLOEXEC = 1;
const MOVE_MOUNT_F_EMPTY_PATH = 4;

/** fsconfig(2) takes values of up to 255 bytes. */
const valueLimit = 255;

/** mount(2)'s per-mount flags as fsmount(2)'s attributes. */
const attributes: ReadonlyArray<readonly [flag: number, attribute: number]> = [
  [MS_RDONLY, 1],
  [MS_NOSUID, 2],
  [MS_NODEV, 4],
  [MS_NOEXEC, 8],
  [MS_NOATIME, 0x10],
  [MS_STRICTATIME, 0x20],
  [MS_NODIRATIME, 0x80],
  [MS_NOSYMFOLLOW, 0x200000],
];

/**
 * For options longer than a page: each is given to the kernel on its own. An overlay's `lowerdir` is added
 * layer by layer (`lowerdir+`, Linux 6.7); where the kernel does not know that, through the short names
 * of descriptors in one classic mount.
 */
function mountByParts(mount: Mount, data: readonly string[], flags: number, target: string): void {
  const what = `${mount.type} ${mount.source} on ${target}`;
  const mounted = makeDetached(mount, data, flags, what);
  if (mounted === undefined) {
    mountByDescriptors(mount, data, flags, target);
    return;
  }
  try {
    syscall("move_mount", [mounted, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH], what);
  } finally {
    rawSyscall("close", mounted);
  }
}

/** A mount that is nowhere in the tree; undefined where the kernel does not take an overlay's layers one by one. */
function makeDetached(
  mount: Mount,
  data: readonly string[],
  flags: number,
  what: string,
): number | undefined {
  const fs = syscall("fsopen", [mount.type, FSOPEN_CLOEXEC], what);
  try {
    for (const option of data) {
      if (mount.type === "overlay" && option.startsWith("lowerdir=") && option.length > valueLimit) {
        for (const lower of splitLowerdir(option.slice("lowerdir=".length))) {
          const result = rawSyscall("fsconfig", fs, FSCONFIG_SET_STRING, "lowerdir+", lower, 0);
          if (result === -22) return undefined;
          if (result < 0) throw new SyscallError("fsconfig", -result, `lowerdir ${lower}`);
        }
        continue;
      }
      const equals = option.indexOf("=");
      if (equals < 0) syscall("fsconfig", [fs, FSCONFIG_SET_FLAG, option, null, 0], option);
      else
        syscall(
          "fsconfig",
          [fs, FSCONFIG_SET_STRING, option.slice(0, equals), option.slice(equals + 1), 0],
          option,
        );
    }
    if (mount.source) rawSyscall("fsconfig", fs, FSCONFIG_SET_STRING, "source", mount.source, 0);
    if (flags & MS_RDONLY) rawSyscall("fsconfig", fs, FSCONFIG_SET_FLAG, "ro", null, 0);
    const made = rawSyscall("fsconfig", fs, FSCONFIG_CMD_CREATE, null, null, 0);
    // An overlay before Linux 6.7 takes every word, and says only here that it does not know one.
    if (made === -22 && mount.type === "overlay") return undefined;
    if (made < 0) throw new SyscallError("fsconfig", -made, what);
    let attribute = 0;
    for (const [flag, bit] of attributes) if (flags & flag) attribute |= bit;
    return syscall("fsmount", [fs, FSMOUNT_CLOEXEC, attribute], what);
  } finally {
    rawSyscall("close", fs);
  }
}

/**
 * The root of what `mounts` make, as a descriptor of a directory: no path leads there and nothing is in the mount
 * table, so it ends with its last descriptor, also after a kill. One bind needs no mount at all.
 * `volatile` tells an overlay not to sync its file system at the end (Linux 5.10), which would block this thread: for
 * snapshots that nobody mounts for writing again.
 */
export function openMounts(mounts: readonly Mount[], options: { volatile?: boolean } = {}): number {
  const [mount, ...more] = mounts;
  if (!mount || more.length > 0 || mount.target)
    throw invalid(`cannot open ${mounts.length} mounts as one directory`);
  const { flags, data } = parseMountOptions(mount.options);
  const what = `${mount.type || "bind"} ${mount.source}`;
  if (flags & MS_BIND)
    return syscall("openat", [AT_FDCWD, mount.source, O_PATH | O_DIRECTORY | O_CLOEXEC], what);
  const wantsVolatile =
    options.volatile && mount.type === "overlay" && data.some((o) => /^upperdir=/.test(o));
  if (wantsVolatile) {
    try {
      const made = makeDetached(mount, [...data, "volatile"], flags, what);
      if (made !== undefined) return made;
    } catch {
      // An older kernel: once more without, which then says what is wrong if it was something else.
    }
  }
  return makeDetached(mount, data, flags, what) ?? openAttached(mount);
}

/** For kernels that mount only at a path: there and, still in use through the descriptor, away again. */
function openAttached(mount: Mount): number {
  using mounted = mountTemporarily([mount]);
  return syscall("openat", [AT_FDCWD, mounted.path, O_PATH | O_DIRECTORY | O_CLOEXEC], mounted.path);
}

/** Splits overlayfs' list at colons that are not escaped with a backslash. */
export function splitLowerdir(list: string): string[] {
  return (list.match(/(?:\\.|[^:\\])+/g) ?? []).map((path) => path.replace(/\\(.)/g, "$1"));
}

function mountByDescriptors(mount: Mount, data: readonly string[], flags: number, target: string): void {
  const open: number[] = [];
  try {
    const short = data.map((option) => {
      if (!option.startsWith("lowerdir=")) return option;
      const names = splitLowerdir(option.slice("lowerdir=".length)).map((path) => {
        const fd = syscall("openat", [AT_FDCWD, path, O_PATH | O_CLOEXEC], path);
        open.push(fd);
        return `/proc/self/fd/${fd}`;
      });
      return `lowerdir=${names.join(":")}`;
    });
    const text = short.join(",");
    if (Buffer.byteLength(text) >= dataLimit)
      throw invalid(
        `${mount.type} on ${target}: options are too long for this kernel (${text.length} bytes)`,
      );
    syscall("mount", [mount.source || "none", target, mount.type, flags, text], `overlay on ${target}`);
  } finally {
    for (const fd of open) rawSyscall("close", fd);
  }
}

const OPEN_TREE_CLONE = 1;
const AT_EMPTY_PATH = 0x1000;
const AT_RECURSIVE = 0x8000;
const MOVE_MOUNT_T_EMPTY_PATH = 0x40;

/**
 * Binds what the descriptor `from` leads to, with all mounted below it, on what `target` leads to. It gets its
 * attributes before it appears anywhere, and takes no part in the propagation of its origin.
 */
export function bindDescriptor(from: number, target: number, options: { readonly?: boolean } = {}): void {
  const tree = syscall(
    "open_tree",
    [from, "", OPEN_TREE_CLONE | O_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE],
    "bind",
  );
  try {
    const set = (flags: number, attribute: number, propagation: number) => {
      const value = Buffer.alloc(32);
      value.writeBigUInt64LE(BigInt(attribute), 0);
      value.writeBigUInt64LE(BigInt(propagation), 16);
      syscall("mount_setattr", [tree, "", AT_EMPTY_PATH | flags, value, value.length], "bind");
    };
    set(AT_RECURSIVE, 0, MS_PRIVATE);
    if (options.readonly) set(0, 1, 0);
    syscall("move_mount", [tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH], "bind");
  } finally {
    rawSyscall("close", tree);
  }
}

/** Mounts all of `mounts` at `root`; when one fails, those made before are undone. */
export function mountAll(mounts: readonly Mount[], root: string): void {
  let done = 0;
  try {
    for (const mount of mounts) {
      mountAt(mount, root);
      done++;
    }
  } catch (error) {
    for (; done > 0; done--) rawSyscall("umount2", root, MNT_DETACH | UMOUNT_NOFOLLOW);
    throw error;
  }
}

/** Unmounts `target`; a path that is no mount point or does not exist is fine. */
export function unmount(target: string, flags = 0): void {
  const result = rawSyscall("umount2", target, flags | UMOUNT_NOFOLLOW);
  if (result < 0 && result !== -22 && result !== -2) throw new SyscallError("umount", -result, target);
}

/** Unmounts everything stacked at `target`. */
export function unmountAll(target: string, flags = 0): void {
  for (;;) {
    const result = rawSyscall("umount2", target, flags | UMOUNT_NOFOLLOW);
    if (result === -22 || result === -2) return;
    if (result < 0) throw new SyscallError("umount", -result, target);
  }
}

/** Mounts at a temporary directory; disposing takes both away. */
export function mountTemporarily(mounts: readonly Mount[]): { path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), "corten-mount-"));
  try {
    mountAll(mounts, path);
  } catch (error) {
    rmdirSync(path);
    throw error;
  }
  return {
    path,
    [Symbol.dispose]: () => {
      unmountAll(path, MNT_DETACH);
      rmdirSync(path);
    },
  };
}

/** Runs `work` with `mounts` at a temporary directory, and takes both away whatever happens. */
export async function withMounts<T>(
  mounts: readonly Mount[],
  work: (root: string) => Promise<T> | T,
): Promise<T> {
  using mounted = mountTemporarily(mounts);
  return await work(mounted.path);
}
