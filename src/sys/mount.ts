/**
 * Mounts as containerd describes them, performed with mount(2) where that can carry the options and with
 * the newer calls (fsopen, fsconfig, move_mount) where it cannot.
 */
import { mkdtempSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { invalid } from "../base/errors.ts";
import { rawSyscall, SyscallError, syscall } from "./libc.ts";
import {
  MS_BIND,
  MS_NOATIME,
  MS_NODEV,
  MS_NODIRATIME,
  MS_NOEXEC,
  MS_NOSUID,
  MS_NOSYMFOLLOW,
  MS_PRIVATE,
  MS_RDONLY,
  MS_REC,
  MS_REMOUNT,
  MS_SILENT,
  MS_STRICTATIME,
  parseMountOptions,
} from "./mount-options.ts";
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

/** A mount without what else a message of the API has; there an absent target is an empty one. */
export const plainMount = ({ type, source, target, options }: Required<Mount>): Mount => ({
  type,
  source,
  options,
  ...(target === "" ? {} : { target }),
});

export const MNT_FORCE = 1;
export const MNT_DETACH = 2;
export const UMOUNT_NOFOLLOW = 8;

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
      else {
        // A value is given alone here: the quotes that keep the commas of a label together in mount(2) are none of it.
        const value = option.slice(equals + 1).replace(/^"(.*)"$/, "$1");
        syscall("fsconfig", [fs, FSCONFIG_SET_STRING, option.slice(0, equals), value, 0], option);
      }
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
  using mounted = mountAttached([mount]);
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
const MOUNT_ATTR_RDONLY = 1;
const MOUNT_ATTR_NOSUID = 2;
const MOUNT_ATTR_NODEV = 4;
const MOUNT_ATTR_NOEXEC = 8;
const MOVE_MOUNT_T_EMPTY_PATH = 0x40;

export interface BindOptions {
  readonly?: boolean;
  /** Only files: no set-id bits, devices or programs. */
  passive?: boolean;
  /** False: without what is mounted below. */
  recursive?: boolean;
}

/**
 * Binds what the descriptor `from` leads to, with all mounted below it, on what `target` leads to. It gets its
 * attributes before it appears anywhere, and takes no part in the propagation of its origin.
 */
export function bindDescriptor(from: number, target: number, options: BindOptions = {}): void {
  const below = options.recursive === false ? 0 : AT_RECURSIVE;
  const tree = syscall("open_tree", [from, "", OPEN_TREE_CLONE | O_CLOEXEC | AT_EMPTY_PATH | below], "bind");
  try {
    setAttributes(tree, AT_RECURSIVE, 0, MS_PRIVATE);
    if (options.passive)
      setAttributes(tree, AT_RECURSIVE, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, 0);
    if (options.readonly) setAttributes(tree, 0, MOUNT_ATTR_RDONLY, 0);
    syscall("move_mount", [tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH], "bind");
  } finally {
    rawSyscall("close", tree);
  }
}

/** mount_setattr(2) on a tree that a descriptor leads to. */
function setAttributes(tree: number, flags: number, attribute: number, propagation: number): void {
  const value = Buffer.alloc(32);
  value.writeBigUInt64LE(BigInt(attribute), 0);
  value.writeBigUInt64LE(BigInt(propagation), 16);
  syscall("mount_setattr", [tree, "", AT_EMPTY_PATH | flags, value, value.length], "bind");
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

/**
 * A path to what `mounts` make. One mount is nowhere in the mount table and ends with us, also after a kill; the path
 * leads there through a descriptor of ours, for other processes too, but getcwd(2) in there names no path. Mounts on
 * one another need a directory, below the temporary one.
 */
export function mountTemporarily(mounts: readonly Mount[]): { path: string } & Disposable {
  const [mount, ...more] = mounts;
  if (!mount || more.length > 0 || mount.target) return mountAttached(mounts);
  const { flags } = parseMountOptions(mount.options);
  const fd = flags & MS_BIND ? cloneTree(mount, flags) : openMounts(mounts);
  return {
    // With the dot it is the directory for lstat(2), too.
    path: `/proc/${process.pid}/fd/${fd}/.`,
    [Symbol.dispose]: () => void rawSyscall("close", fd),
  };
}

/** A bind of `mount.source` that is nowhere in the tree. */
function cloneTree(mount: Mount, flags: number): number {
  const deep = flags & MS_REC ? AT_RECURSIVE : 0;
  const what = `bind ${mount.source}`;
  const tree = syscall("open_tree", [AT_FDCWD, mount.source, OPEN_TREE_CLONE | O_CLOEXEC | deep], what);
  try {
    if (flags & MS_RDONLY) setAttributes(tree, deep, MOUNT_ATTR_RDONLY, 0);
    return tree;
  } catch (error) {
    rawSyscall("close", tree);
    throw error;
  }
}

/** Mounts at a temporary directory, for who needs a path of its own there; disposing takes both away. */
export function mountAttached(mounts: readonly Mount[]): { path: string } & Disposable {
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

/** Runs `work` with a path to what `mounts` make (see mountTemporarily()), which ends whatever happens. */
export async function withMounts<T>(
  mounts: readonly Mount[],
  work: (root: string) => Promise<T> | T,
): Promise<T> {
  using mounted = mountTemporarily(mounts);
  return await work(mounted.path);
}
