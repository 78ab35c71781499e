/** The mounts that CRIU sees: a namespace of the calling thread's own, which goes with it however it ends. */
import { mkdirSync, readFileSync, rmdirSync } from "node:fs";
import { conflict } from "../../base/errors.ts";
import { rawSyscall, syscall } from "../../sys/libc.ts";
import { MNT_DETACH, UMOUNT_NOFOLLOW } from "../../sys/mount.ts";
import { MS_BIND, MS_REC, MS_SLAVE } from "../../sys/mount-options.ts";
import { parseMountInfo } from "../../sys/mountinfo.ts";

const CLONE_NEWNS = 0x00020000;

/** CRIU reads a line of mountinfo into a buffer of this size, and gives up on a longer one. */
const longestLine = 4096;

/** What is unmounted from here on stays mounted for all others, and the other way round for what is mounted. */
export function ownMountNamespace(): void {
  syscall("unshare", [CLONE_NEWNS], "mount namespace");
  syscall("mount", [null, "/", null, MS_REC | MS_SLAVE, null], "/");
}

/** Takes other containers' roots of many layers out of CRIU's sight; `needed` are the paths that are to stay. */
export function hideLongMounts(needed: readonly string[]): void {
  for (const path of longMounts(readFileSync("/proc/self/mountinfo", "utf8")))
    if (!needed.some((one) => one === path || one.startsWith(`${path}/`)))
      rawSyscall("umount2", path, MNT_DETACH | UMOUNT_NOFOLLOW);
}

/** Fails for a container whose own root CRIU cannot read. */
export function refuseLongMounts(pid: number): void {
  const [path] = longMounts(readFileSync(`/proc/${pid}/mountinfo`, "utf8"));
  if (path !== undefined)
    throw conflict(
      `CRIU reads no mount whose description is longer than ${longestLine} bytes, as the container's at ${path} is: too many layers`,
    );
}

/** The mount points whose lines are too long, the innermost first. */
export function longMounts(mountinfo: string): string[] {
  const lines = mountinfo.split("\n").filter((line) => Buffer.byteLength(line) >= longestLine - 1);
  return parseMountInfo(lines.join("\n"))
    .map(({ mountPoint }) => mountPoint)
    .reverse();
}

/** CRIU wants a root that is a mount: one in this namespace. */
export function mountRoot(path: string, rootfs: string): { path: string; remove: () => void } {
  mkdirSync(path, { mode: 0o755 });
  syscall("mount", [rootfs, path, null, MS_BIND | MS_REC, null], `${rootfs} at ${path}`);
  return {
    path,
    remove() {
      rawSyscall("umount2", path, MNT_DETACH);
      rmdirSync(path);
    },
  };
}
