/** Walks the root filesystem of a result through descriptors: no path of it is ever resolved by name. */
import { closeSync } from "node:fs";
import { Cleanup } from "../../base/cleanup.ts";
import { cString, openDirectoryAt, readDirectory } from "../../sys/directory.ts";
import { rawSyscall, syscall } from "../../sys/libc.ts";
import { openMounts } from "../../sys/mount.ts";
import { O_CLOEXEC, O_DIRECTORY, O_RDONLY } from "../../sys/open.ts";
import { S_IFDIR, S_IFMT, S_IFSOCK, type Stat, statAt, statFd } from "../../sys/stat.ts";
import type { Layer } from "../types.ts";
import { viewOf } from "./layers.ts";
import type { ExportContext } from "./types.ts";

/** One entry below the root; names and paths are byte strings (latin1). */
export interface TreeEntry {
  dirFd: number;
  name: string;
  /** Without a leading slash. */
  path: string;
  stat: Stat;
}

export interface TreeVisitor {
  /** Called for everything, a directory before what is in it; false: its contents are not visited. */
  enter(entry: TreeEntry): Promise<boolean | void> | boolean | void;
  /** Called for a directory after all in it. */
  leave?(entry: TreeEntry): void;
}

/** Entries in the order of their bytes within each directory; sockets are left out, as no archive holds them. */
export async function walkTree(rootFd: number, visitor: TreeVisitor, signal?: AbortSignal): Promise<void> {
  let count = 0;
  const visit = async (dirFd: number, prefix: string): Promise<void> => {
    const names = readDirectory(dirFd).map((entry) => entry.name);
    for (const name of names.sort()) {
      if (++count % 500 === 0) {
        signal?.throwIfAborted();
        await new Promise((done) => setImmediate(done));
      }
      const stat = statAt(dirFd, cString(name));
      if (!stat || (stat.mode & S_IFMT) === S_IFSOCK) continue;
      const entry = { dirFd, name, path: prefix + name, stat };
      const deeper = await visitor.enter(entry);
      if ((stat.mode & S_IFMT) !== S_IFDIR || deeper === false) continue;
      const fd = openDirectoryAt(dirFd, name);
      try {
        await visit(fd, `${prefix}${name}/`);
      } finally {
        rawSyscall("close", fd);
      }
      visitor.leave?.(entry);
    }
  };
  await visit(rootFd, "");
}

/** Runs `work` on the root directory of a result, which is mounted nowhere; not at all for an empty one. */
export async function withRootfs<T>(
  context: Pick<ExportContext, "client" | "snapshotter">,
  layers: readonly Layer[],
  work: (rootFd: number, root: Stat) => Promise<T>,
): Promise<T | undefined> {
  const top = layers.at(-1);
  if (!top) return undefined;
  await using undo = new Cleanup();
  const mounts = await viewOf(context, top.snapshot, undo);
  const tree = openMounts(mounts);
  undo.add("close rootfs", () => closeSync(tree));
  // What openMounts gives need not be readable itself.
  const fd = syscall("openat", [tree, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC], "rootfs");
  undo.add("close rootfs", () => closeSync(fd));
  return await work(fd, statFd(fd));
}
