/** Device nodes of the host as the runtime specification has them (config-linux, Devices). */
import { lstatSync, readdirSync, type Stats } from "node:fs";
import { join, posix } from "node:path";
import type { LinuxDevice } from "./runtime-spec.ts";

/** What a device node is, wherever it lies. */
export interface DeviceNode {
  type: "c" | "b";
  major: number;
  minor: number;
  fileMode: number;
  uid: number;
  gid: number;
}

const S_IFMT = 0o170000;
const S_IFCHR = 0o020000;
const S_IFBLK = 0o060000;

/** The device node that a stat(2) tells of; undefined for what is none. */
export function deviceNode({
  mode,
  rdev,
  uid,
  gid,
}: Pick<Stats, "mode" | "rdev" | "uid" | "gid">): DeviceNode | undefined {
  const kind = mode & S_IFMT;
  if (kind !== S_IFCHR && kind !== S_IFBLK) return undefined;
  const number = BigInt(rdev);
  return {
    type: kind === S_IFCHR ? "c" : "b",
    major: Number(((number >> 8n) & 0xfffn) | ((number >> 32n) & 0xfffff000n)),
    minor: Number((number & 0xffn) | ((number >> 12n) & 0xffffff00n)),
    fileMode: mode & 0o7777,
    uid,
    gid,
  };
}

/** What of /dev a container has of its own. */
const own = new Set(["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"]);

/** The device nodes below a directory of the host, which is called `inside` in the container; links are left out. */
export function devicesBelow(directory: string, inside = directory): LinuxDevice[] {
  const found: LinuxDevice[] = [];
  for (const name of readdirSync(directory).sort()) {
    if (name === "console" || (directory === "/dev" && own.has(name))) continue;
    const path = join(directory, name);
    try {
      const stat = lstatSync(path);
      if (stat.isDirectory()) found.push(...devicesBelow(path, posix.join(inside, name)));
      else {
        const node = deviceNode(stat);
        if (node) found.push({ path: posix.join(inside, name), ...node });
      }
    } catch {
      // It went away while we looked, or is not ours to see.
    }
  }
  return found;
}
