/** A look at a step's root filesystem before anything runs on it. */
import { closeSync, readFileSync, readlinkSync } from "node:fs";
import { rawSyscall } from "../../sys/libc.ts";
import { type Mount, openMounts } from "../../sys/mount.ts";
import { O_PATH } from "../../sys/open.ts";
import { openInRoot } from "../../sys/rootfs/index.ts";
import { S_IFMT, S_IFREG, statFd } from "../../sys/stat.ts";

/** passwd and group files larger than this are nobody's. */
const accountsLimit = 4 << 20;

/** Runs `work` with a descriptor of what `mounts` show, for reading only; nothing is mounted anywhere. */
export function withView<T>(mounts: readonly Mount[], work: (rootFd: number) => T): T {
  const fd = openMounts(mounts.map(readable));
  try {
    return work(fd);
  } finally {
    closeSync(fd);
  }
}

/**
 * An overlay without its upper directory, which is the uppermost lower one instead: two overlays must not share an upper
 * directory, and the end of one with an upper directory syncs the whole file system.
 */
function readable(mount: Mount): Mount {
  if (mount.type !== "overlay") return mount;
  const upper = mount.options.find((option) => option.startsWith("upperdir="))?.slice("upperdir=".length);
  if (upper === undefined) return mount;
  return {
    ...mount,
    options: mount.options
      .filter((option) => !/^(upperdir|workdir)=/.test(option))
      .map((option) =>
        option.startsWith("lowerdir=")
          ? `lowerdir=${upper.replace(/[:\\]/g, "\\$&")}:${option.slice("lowerdir=".length)}`
          : option,
      ),
  };
}

/** /etc/passwd and /etc/group of the tree; missing ones are empty. */
export function readAccounts(rootFd: number): { passwd: string; group: string } {
  return { passwd: readText(rootFd, "/etc/passwd"), group: readText(rootFd, "/etc/group") };
}

function readText(rootFd: number, path: string): string {
  const fd = openInRoot(rootFd, path, O_PATH);
  if (fd < 0) return "";
  try {
    const stat = statFd(fd);
    if ((stat.mode & S_IFMT) !== S_IFREG || stat.size > accountsLimit) return "";
    return readFileSync(`/proc/self/fd/${fd}`, "utf8");
  } finally {
    rawSyscall("close", fd);
  }
}

/** The path of a descriptor below the root of its tree, without a link in it. */
export const realPath = (fd: number): string => readlinkSync(`/proc/self/fd/${fd}`);
