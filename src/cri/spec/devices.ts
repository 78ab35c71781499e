import { lstatSync, readdirSync, type Stats, statSync } from "node:fs";
import { join, posix } from "node:path";
import type { Device } from "../../../proto/gen/runtime/v1/container_config_pb.ts";
import { invalid } from "../../base/errors.ts";
import type { LinuxDevice, LinuxDeviceCgroup } from "../../oci/runtime-spec.ts";

const S_IFMT = 0o170000;
const S_IFCHR = 0o020000;
const S_IFBLK = 0o060000;

/** A device node of the host under another path; undefined for what is none. */
export function deviceAt(path: string, stat: Stats): LinuxDevice | undefined {
  const kind = stat.mode & S_IFMT;
  if (kind !== S_IFCHR && kind !== S_IFBLK) return undefined;
  const number = BigInt(stat.rdev);
  return {
    path,
    type: kind === S_IFCHR ? "c" : "b",
    major: Number(((number >> 8n) & 0xfffn) | ((number >> 32n) & 0xfffff000n)),
    minor: Number((number & 0xffn) | ((number >> 12n) & 0xffffff00n)),
    fileMode: stat.mode & 0o7777,
    uid: stat.uid,
    gid: stat.gid,
  };
}

const own = new Set(["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"]);

/** The device nodes below a directory, where `inside` is what it is called in the container. */
export function devicesBelow(directory: string, inside: string, top = directory): LinuxDevice[] {
  const found: LinuxDevice[] = [];
  for (const name of readdirSync(directory).sort()) {
    if (name === "console" || (directory === top && top === "/dev" && own.has(name))) continue;
    const path = join(directory, name);
    try {
      const stat = lstatSync(path);
      if (stat.isDirectory()) found.push(...devicesBelow(path, posix.join(inside, name), top));
      else {
        const device = deviceAt(posix.join(inside, name), stat);
        if (device) found.push(device);
      }
    } catch {
      // It went away while we looked.
    }
  }
  return found;
}

/** Nothing but what every container may use. */
export function defaultDeviceRules(): LinuxDeviceCgroup[] {
  const allow = (major: number, minor?: number): LinuxDeviceCgroup => ({
    allow: true,
    type: "c",
    major,
    ...(minor === undefined ? {} : { minor }),
    access: "rwm",
  });
  return [
    { allow: false, access: "rwm" },
    ...[3, 8, 7, 5, 9].map((minor) => allow(1, minor)),
    allow(5, 0),
    allow(5, 2),
    allow(136),
  ];
}

/** The devices a container asks for, with what it may do with them. A directory stands for all that is in it. */
export function requestedDevices(devices: readonly Device[]): {
  devices: LinuxDevice[];
  rules: LinuxDeviceCgroup[];
} {
  const out: { devices: LinuxDevice[]; rules: LinuxDeviceCgroup[] } = { devices: [], rules: [] };
  for (const { hostPath, containerPath, permissions } of devices) {
    let found: LinuxDevice[];
    try {
      const stat = statSync(hostPath);
      const device = deviceAt(containerPath, stat);
      found = device ? [device] : stat.isDirectory() ? devicesBelow(hostPath, containerPath) : [];
    } catch (error) {
      throw invalid(`device ${hostPath}: ${(error as Error).message}`, error);
    }
    if (found.length === 0) throw invalid(`not a device node: ${hostPath}`);
    out.devices.push(...found);
    for (const { type, major, minor } of found)
      out.rules.push({ allow: true, type, major: major!, minor: minor!, access: permissions || "rwm" });
  }
  return out;
}
