/**
 * Files of a pod's containers. They are mounted on a file system of the pod's own, which the server of files sees, for as
 * long as the container is there. It lies outside of bundles, whose removal must never meet somebody's volume.
 */
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  rmdirSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { bindDescriptor, MNT_DETACH, mountAll, unmountAll } from "../sys/mount.ts";
import { readMountInfo } from "../sys/mountinfo.ts";
import type { Share } from "./spec.ts";

const O_PATH = 0o10000000;

/** `root` is the runtime's, of one namespace. */
const membersOf = (root: string, pod: string) => join(dirname(dirname(root)), "vm", basename(root), pod);

/** A file system whose mounts are seen wherever it is bound. */
export function makeMembers(root: string, pod: string): string {
  const directory = membersOf(root, pod);
  mkdirSync(directory, { recursive: true, mode: 0o711 });
  const options = ["nosuid", "nodev", "noexec", "mode=0755", "size=4m", "shared"];
  mountAll([{ type: "tmpfs", source: "members", options }], directory);
  return directory;
}

/** It goes with all that is mounted below it. A pod without one is fine. */
export function removeMembers(root: string, pod: string): void {
  const directory = membersOf(root, pod);
  if (!existsSync(directory)) return;
  unmountAll(directory, MNT_DETACH);
  rmdirSync(directory);
}

/** Shows the machine a container's root and volumes. */
export function shareFiles(
  root: string,
  member: { pod: string; id: string },
  rootfs: string,
  shares: readonly Share[],
): void {
  const directory = join(membersOf(root, member.pod), member.id);
  mkdirSync(directory, { mode: 0o755 });
  try {
    bindAt(directory, { name: "rootfs", source: rootfs, readonly: false, recursive: true });
    for (const share of shares) bindAt(directory, share);
  } catch (error) {
    unshareFiles(root, member);
    throw error;
  }
}

function bindAt(directory: string, { name, source, readonly, recursive }: Share): void {
  const target = join(directory, name);
  const from = openSync(source, O_PATH);
  try {
    // What the descriptor leads to counts, whatever the name leads to by now.
    if (statSync(`/proc/self/fd/${from}`).isDirectory()) mkdirSync(target);
    else writeFileSync(target, "");
    const to = openSync(target, O_PATH | constants.O_NOFOLLOW);
    try {
      bindDescriptor(from, to, { readonly, recursive, passive: true });
    } finally {
      closeSync(to);
    }
  } finally {
    closeSync(from);
  }
}

/** Takes them away again. The places stay until the pod goes, empty: nothing here is ever removed that may be a mount. */
export function unshareFiles(root: string, member: { pod: string; id: string }): void {
  const directory = join(membersOf(root, member.pod), member.id);
  const points = readMountInfo()
    .map(({ mountPoint }) => mountPoint)
    .filter((point) => point.startsWith(`${directory}/`));
  for (const point of points.toSorted((a, b) => b.length - a.length)) unmountAll(point, MNT_DETACH);
}
