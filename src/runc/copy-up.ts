/** tmpcopyup: a tmpfs that starts with what the image has at its place. */
import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  copyFileSync,
  fstatSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  type Stats,
  symlinkSync,
  utimesSync,
} from "node:fs";
import { rawSyscall, syscall } from "../sys/libc.ts";
import type { MountOptions } from "./compile/mount-options.ts";

const flags = { openCloexec: 1, mountCloexec: 1, setFlag: 0, setString: 1, create: 6, resolveInRoot: 0x10 };

/**
 * Makes a tmpfs that is mounted nowhere yet, fills it from `destination` of the rootfs, and returns it for the
 * plan to put in place. The directory is resolved inside the rootfs, whatever links the image has.
 */
export function copyUp(rootfs: string, destination: string, options: MountOptions): number {
  const fs = syscall("fsopen", ["tmpfs", flags.openCloexec], "tmpfs");
  let mount = -1;
  try {
    for (const option of options.data) {
      const equals = option.indexOf("=");
      const [key, value] = equals < 0 ? [option, null] : [option.slice(0, equals), option.slice(equals + 1)];
      syscall(
        "fsconfig",
        [fs, value === null ? flags.setFlag : flags.setString, key, value, 0],
        `tmpfs option ${option}`,
      );
    }
    syscall("fsconfig", [fs, flags.create, null, null, 0], "tmpfs");
    mount = syscall("fsmount", [fs, flags.mountCloexec, options.set & ~1], "tmpfs");
    fill(rootfs, destination, mount);
    return mount;
  } catch (error) {
    if (mount >= 0) closeSync(mount);
    throw error;
  } finally {
    closeSync(fs);
  }
}

function fill(rootfs: string, destination: string, mount: number): void {
  const root = openSync(rootfs, constants.O_RDONLY | constants.O_DIRECTORY);
  const how = new Uint8Array(24);
  new DataView(how.buffer).setBigUint64(0, BigInt(constants.O_RDONLY | constants.O_DIRECTORY), true);
  new DataView(how.buffer).setBigUint64(16, BigInt(flags.resolveInRoot), true);
  const source = rawSyscall("openat2", root, destination, how, how.length);
  closeSync(root);
  if (source < 0) return;
  try {
    copyEntries(`/proc/self/fd/${source}`, `/proc/self/fd/${mount}`);
    copyAttributes(fstatSync(source), `/proc/self/fd/${mount}`);
  } finally {
    closeSync(source);
  }
}

/** Symlinks are copied as such, so nothing outside of the directory is read. */
function copyEntries(from: string, to: string): void {
  for (const name of readdirSync(from)) {
    const source = `${from}/${name}`;
    const target = `${to}/${name}`;
    const stat = lstatSync(source);
    if (stat.isSymbolicLink()) {
      symlinkSync(readlinkSync(source), target);
      lchownSync(target, stat.uid, stat.gid);
      continue;
    }
    if (stat.isDirectory()) {
      mkdirSync(target);
      copyEntries(source, target);
    } else if (stat.isFile()) {
      copyFileSync(source, target);
    } else {
      syscall("mknodat", [-100, target, stat.mode, stat.rdev], target);
    }
    copyAttributes(stat, target);
  }
}

function copyAttributes(stat: Stats, path: string): void {
  chownSync(path, stat.uid, stat.gid);
  // After the owner, whose change takes the set-id bits away.
  chmodSync(path, stat.mode & 0o7777);
  utimesSync(path, stat.atimeMs / 1000, stat.mtimeMs / 1000);
}
