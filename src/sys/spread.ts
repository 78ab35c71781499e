import { closeSync, mkdirSync, openSync } from "node:fs";
import { rawSyscall } from "./libc.ts";

const FS_IOC_GETFLAGS = 0x80086601;
const FS_IOC_SETFLAGS = 0x40086602;
const FS_TOPDIR_FL = 0x20000;

/**
 * Asks ext4 to place each directory that will be made in `path` in a block group of its own (chattr +T). Besides keeping
 * together what is in one, it keeps new files off the inodes of those just removed, which ext4 without a journal steps
 * over one by one for minutes. Measured here: unpacking 9,000 files after such a removal takes 0.5 s instead of 3.5 s,
 * fifty starts of containers after a few hundred removals 0.9 s instead of 1.3 s. Other file systems do not mind.
 */
export function spreadDirectories(path: string): void {
  const fd = openSync(path, "r");
  try {
    const flags = new Uint8Array(8);
    const view = new DataView(flags.buffer);
    if (rawSyscall("ioctl", fd, FS_IOC_GETFLAGS, flags) < 0) return;
    view.setUint32(0, view.getUint32(0, true) | FS_TOPDIR_FL, true);
    rawSyscall("ioctl", fd, FS_IOC_SETFLAGS, flags);
  } finally {
    closeSync(fd);
  }
}

/** Makes a directory whose directories are spread; one that is there is left as it is. */
export function makeSpreadDirectory(path: string, mode: number): void {
  if (mkdirSync(path, { recursive: true, mode }) !== undefined) spreadDirectories(path);
}
