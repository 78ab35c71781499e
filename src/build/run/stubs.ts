/**
 * A runtime makes the files and directories that mounts need where they are missing. They are not the step's work: what
 * of them is still empty afterwards is taken out of the layer (as BuildKit's executor does).
 */
import { closeSync } from "node:fs";
import { posix } from "node:path";
import { cString, readDirectory } from "../../sys/directory.ts";
import { rawSyscall } from "../../sys/libc.ts";
import type { Mount } from "../../sys/mount.ts";
import { O_CLOEXEC, O_DIRECTORY, O_PATH, O_RDONLY } from "../../sys/open.ts";
import { openInRoot, setTimesAt } from "../../sys/rootfs/index.ts";
import {
  AT_FDCWD,
  AT_REMOVEDIR,
  S_IFDIR,
  S_IFMT,
  S_IFREG,
  type Stat,
  statAt,
  statFd,
} from "../../sys/stat.ts";
import { getXattrAt } from "../../sys/xattr.ts";
import { realPath } from "./rootfs.ts";

/** What is missing for a mount: `names` are to be made below the directory `parent`. */
export interface Stub {
  parent: string;
  names: string[];
  /** The parent as it is before. */
  before: Stat;
}

/** The mount points of `destinations` that the tree lacks; no link is left in their parents' paths. */
export function findStubs(rootFd: number, destinations: readonly string[]): Stub[] {
  return destinations.flatMap((destination) => {
    const names: string[] = [];
    for (let path = posix.resolve("/", destination); ; path = posix.dirname(path)) {
      const fd = openInRoot(rootFd, path, O_PATH);
      if (fd < 0) {
        if (path === "/") return [];
        names.unshift(posix.basename(path));
        continue;
      }
      try {
        const before = statFd(fd);
        const directory = (before.mode & S_IFMT) === S_IFDIR;
        return names.length === 0 || !directory ? [] : [{ parent: realPath(fd), names, before }];
      } finally {
        rawSyscall("close", fd);
      }
    }
  });
}

/** Removes those stubs that nothing was put into, once the step's own mount is gone. */
export function removeStubs(mounts: readonly Mount[], stubs: readonly Stub[]): void {
  const directory = writableDirectory(mounts);
  if (directory === undefined || stubs.length === 0) return;
  const rootFd = rawSyscall("openat", AT_FDCWD, directory.path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (rootFd < 0) return;
  try {
    for (const stub of stubs.toReversed()) removeStub(rootFd, stub, directory.overlay);
  } finally {
    closeSync(rootFd);
  }
}

function removeStub(rootFd: number, { parent, names, before }: Stub, overlay: boolean): void {
  for (let depth = names.length; depth > 0; depth--) {
    const above = posix.join(parent, ...names.slice(0, depth - 1));
    const removed = withDirectory(rootFd, above, (fd) => removeEmpty(fd, names[depth - 1]!));
    if (!removed) return;
  }
  if (overlay) forgetCopy(rootFd, parent, before);
}

function withDirectory<T>(rootFd: number, path: string, work: (fd: number) => T): T | undefined {
  const fd = openInRoot(rootFd, path, O_RDONLY | O_DIRECTORY);
  if (fd < 0) return undefined;
  try {
    return work(fd);
  } finally {
    rawSyscall("close", fd);
  }
}

/** True when the entry was an empty file or directory and is gone; its parent keeps its times. */
function removeEmpty(parentFd: number, name: string): boolean {
  const stat = statAt(parentFd, name);
  if (!stat) return false;
  const kind = stat.mode & S_IFMT;
  if (kind !== S_IFDIR && (kind !== S_IFREG || stat.size > 0)) return false;
  const { atimeNs, mtimeNs } = statFd(parentFd);
  if (rawSyscall("unlinkat", parentFd, name, kind === S_IFDIR ? AT_REMOVEDIR : 0) < 0) return false;
  setTimesAt(parentFd, ".", atimeNs, mtimeNs);
  return true;
}

/** A directory that is in the upper layer only because a stub was made in it is the lower one's affair again. */
function forgetCopy(rootFd: number, path: string, before: Stat): void {
  if (path === "/") return;
  const name = posix.basename(path);
  withDirectory(rootFd, posix.dirname(path), (parentFd) => {
    const now = statAt(parentFd, name);
    if (!now || now.mode !== before.mode || now.uid !== before.uid || now.gid !== before.gid) return;
    const empty = withDirectory(rootFd, path, (fd) => readDirectory(fd).length === 0);
    if (!empty || getXattrAt(parentFd, name, "trusted.overlay.opaque") !== undefined) return;
    const { atimeNs, mtimeNs } = statFd(parentFd);
    if (rawSyscall("unlinkat", parentFd, cString(name), AT_REMOVEDIR) === 0)
      setTimesAt(parentFd, ".", atimeNs, mtimeNs);
  });
}

/** Where the step's changes are on this host. */
function writableDirectory(mounts: readonly Mount[]): { path: string; overlay: boolean } | undefined {
  const [mount] = mounts;
  if (!mount || mounts.length !== 1) return undefined;
  if (mount.type !== "overlay") return { path: mount.source, overlay: false };
  const upper = mount.options.find((option) => option.startsWith("upperdir="));
  return upper === undefined ? undefined : { path: upper.slice("upperdir=".length), overlay: true };
}
