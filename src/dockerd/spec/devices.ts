import { statSync } from "node:fs";
import { join, posix } from "node:path";
import { invalid } from "../../base/errors.ts";
import type { DeviceMapping } from "../../engine/types.ts";
import { type DeviceNode, deviceNode, devicesBelow } from "../../oci/devices.ts";
import type { LinuxDevice, LinuxDeviceCgroup } from "../../oci/runtime-spec.ts";

/** What a path of the host is as a device; undefined when it is none. */
export type DeviceFacts = (path: string) => DeviceNode | undefined;

/** Reads the host's /dev. */
export const hostDevice: DeviceFacts = (path) => {
  try {
    return deviceNode(statSync(path));
  } catch {
    return undefined;
  }
};

/** What Docker lets every container do with devices, in the order in which it writes it. */
export function defaultDeviceRules(): LinuxDeviceCgroup[] {
  const allow = (major: number, minor: number): LinuxDeviceCgroup => ({
    allow: true,
    type: "c",
    major,
    minor,
    access: "rwm",
  });
  return [
    { allow: false, access: "rwm" },
    allow(1, 5),
    allow(1, 3),
    allow(1, 9),
    allow(1, 8),
    allow(5, 0),
    allow(5, 1),
    { allow: false, type: "c", major: 10, minor: 229, access: "rwm" },
  ];
}

/** `--device`: one node, or every node of a directory. */
export function mappedDevices(
  mapping: DeviceMapping,
  facts: DeviceFacts,
): { devices: LinuxDevice[]; rules: LinuxDeviceCgroup[] } {
  const access = mapping.CgroupPermissions || "rwm";
  if (!/^[rwm]+$/.test(access)) throw invalid(`invalid device mode: ${access}`);
  const inside = mapping.PathInContainer || mapping.PathOnHost;
  const one = facts(mapping.PathOnHost);
  const sources: Array<[string, DeviceNode]> = [];
  if (one) sources.push([posix.normalize(inside), one]);
  else {
    let names: LinuxDevice[] = [];
    try {
      names = devicesBelow(mapping.PathOnHost);
    } catch {
      throw invalid(
        `error gathering device information while adding custom device ${JSON.stringify(mapping.PathOnHost)}: no such file or directory`,
      );
    }
    if (names.length === 0)
      throw invalid(
        `error gathering device information while adding custom device ${JSON.stringify(mapping.PathOnHost)}: not a device node`,
      );
    for (const device of names) {
      const fact = facts(device.path);
      if (fact) sources.push([join(inside, device.path.slice(mapping.PathOnHost.length)), fact]);
    }
  }
  return {
    devices: sources.map(([path, fact]) => ({ path, ...fact })),
    rules: sources.map(([, fact]) => ({
      allow: true,
      type: fact.type,
      major: fact.major,
      minor: fact.minor,
      access,
    })),
  };
}

/** `--device-cgroup-rule`: `c 42:* rmw`. */
export function parseDeviceRule(rule: string): LinuxDeviceCgroup {
  const match = /^([acb]) ([0-9]+|\*):([0-9]+|\*) ([rwm]{1,3})$/.exec(rule);
  if (!match) throw invalid(`invalid device cgroup rule format: '${rule}'`);
  const number = (text: string) => (text === "*" ? -1 : Number(text));
  return {
    allow: true,
    type: match[1]!,
    major: number(match[2]!),
    minor: number(match[3]!),
    access: match[4]!,
  };
}
