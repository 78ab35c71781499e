/** The read-only directories below an overlay's upper, looked at as the overlay would merge them. */
import { cString } from "../sys/directory.ts";
import { rawSyscall, SyscallError } from "../sys/libc.ts";
import { O_CLOEXEC, O_DIRECTORY, O_PATH, O_RDONLY } from "../sys/open.ts";
import { openInRoot } from "../sys/rootfs/index.ts";
import { AT_FDCWD, S_IFCHR, S_IFDIR, S_IFMT, type Stat, statAt } from "../sys/stat.ts";
import { getXattrAt } from "../sys/xattr.ts";
import { baseOf, parentOf } from "./paths.ts";

export interface LowerEntry {
  parentFd: number;
  name: string;
  stat: Stat;
  /** The target, when the entry is a symlink. */
  readlink(): string;
  close(): void;
}

export class LowerLayers {
  readonly #roots: readonly string[];

  /** `roots` in overlay's order: the uppermost first. */
  constructor(roots: readonly string[]) {
    this.#roots = roots;
  }

  /** What the merged lower layers have at `path` itself; whiteouts and opaque directories hide what is below. */
  find(path: string): LowerEntry | undefined {
    for (const root of this.#roots) {
      const rootFd = rawSyscall("openat", AT_FDCWD, root, O_PATH | O_DIRECTORY | O_CLOEXEC);
      if (rootFd < 0) throw new SyscallError("open", -rootFd, root);
      try {
        const seen = lookIn(rootFd, path);
        if (seen === "hidden") return undefined;
        if (seen !== "absent") return seen;
      } finally {
        rawSyscall("close", rootFd);
      }
    }
    return undefined;
  }
}

function lookIn(rootFd: number, path: string): LowerEntry | "absent" | "hidden" {
  let opaque = false;
  const parts = path.split("/");
  for (let depth = 1; depth <= parts.length; depth++) {
    const prefix = parts.slice(0, depth).join("/");
    const parentFd = openInRoot(rootFd, cString(parentOf(prefix) || "."), O_RDONLY | O_DIRECTORY);
    if (parentFd < 0) return opaque ? "hidden" : "absent";
    const name = baseOf(prefix);
    let keep = false;
    try {
      const stat = statAt(parentFd, cString(name));
      if (!stat) return opaque ? "hidden" : "absent";
      const type = stat.mode & S_IFMT;
      if (type === S_IFCHR && stat.rdev === 0n) return "hidden";
      if (depth === parts.length) {
        keep = true;
        return {
          parentFd,
          name,
          stat,
          readlink: () => {
            const buffer = Buffer.alloc(4096);
            const length = rawSyscall("readlinkat", parentFd, cString(name), buffer, buffer.length);
            if (length < 0) throw new SyscallError("readlink", -length, name);
            return buffer.toString("latin1", 0, length);
          },
          close: () => void rawSyscall("close", parentFd),
        };
      }
      if (type === S_IFDIR && getXattrAt(parentFd, name, "trusted.overlay.opaque")?.[0] === 0x79)
        opaque = true;
    } finally {
      if (!keep) rawSyscall("close", parentFd);
    }
  }
  return "absent";
}
