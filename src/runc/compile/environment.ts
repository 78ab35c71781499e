import { closeSync, constants, fstatSync, openSync, readFileSync, readSync } from "node:fs";
import type { Process, Spec } from "../../oci/runtime-spec.ts";
import { rawSyscall } from "../../sys/libc.ts";

const resolveInRoot = 0x10;
const noMagicLinks = 0x02;

/** Reads a file below a root as a process with that root would see it, or undefined. At most 1 MiB. */
export function readInside(root: string, path: string): string | undefined {
  let directory = -1;
  let fd = -1;
  try {
    directory = openSync(root, constants.O_RDONLY | constants.O_DIRECTORY);
    const how = new Uint8Array(24);
    const view = new DataView(how.buffer);
    view.setBigUint64(0, BigInt(constants.O_RDONLY | constants.O_NONBLOCK), true);
    view.setBigUint64(16, BigInt(resolveInRoot | noMagicLinks), true);
    fd = rawSyscall("openat2", directory, path, how, how.length);
    if (fd < 0) return undefined;
    const stat = fstatSync(fd);
    if (!stat.isFile()) return undefined;
    const buffer = Buffer.alloc(Math.min(stat.size, 1 << 20));
    return buffer.toString("utf8", 0, readSync(fd, buffer));
  } catch {
    return undefined;
  } finally {
    if (fd >= 0) closeSync(fd);
    if (directory >= 0) closeSync(directory);
  }
}

/** The home directory that passwd(5) has for a user, "/" when it has none. */
export function homeOf(passwd: string | undefined, uid: number): string {
  for (const line of (passwd ?? "").split("\n")) {
    const fields = line.split(":");
    if (fields[2] === String(uid)) return fields[5] || "/";
  }
  return "/";
}

/** A new container's /etc/passwd: a mount over it or over /etc hides the rootfs' own. */
export function containerPasswd(spec: Spec, rootfs: string): string | undefined {
  const mount = (spec.mounts ?? []).findLast(({ destination }) => /^\/etc(\/passwd)?\/?$/.test(destination));
  if (!mount?.source) return readInside(rootfs, "etc/passwd");
  if (!/passwd/.test(mount.destination)) return readInside(mount.source, "passwd");
  try {
    return readFileSync(mount.source, "utf8");
  } catch {
    return undefined;
  }
}

/** The process' environment: what is configured, HOME when it is not, and what socket activation needs. */
export function environmentOf(
  process: Process,
  passwd: () => string | undefined,
  listenFds: number,
): string[] {
  const env = [...(process.env ?? [])];
  if (listenFds > 0) env.push(`LISTEN_FDS=${listenFds}`, "LISTEN_PID=1");
  if (!env.some((entry) => entry.startsWith("HOME="))) env.push(`HOME=${homeOf(passwd(), process.user.uid)}`);
  return env;
}
