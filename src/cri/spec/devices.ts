import { statSync } from "node:fs";
import type { Device } from "../../../proto/gen/runtime/v1/container_config_pb.ts";
import { invalid } from "../../base/errors.ts";
import { deviceNode, devicesBelow } from "../../oci/devices.ts";
import type { LinuxDevice, LinuxDeviceCgroup } from "../../oci/runtime-spec.ts";

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
      const device = deviceNode(stat);
      found = device
        ? [{ path: containerPath, ...device }]
        : stat.isDirectory()
          ? devicesBelow(hostPath, containerPath)
          : [];
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
