import type { MountPoint } from "../../engine/types.ts";
import type { ContainerRecord } from "./container.ts";

/** `Mounts` of inspect and list. */
export function mountPoints(record: ContainerRecord): MountPoint[] {
  return record.mounts.map((mount) => ({
    Type: mount.type,
    ...(mount.name === undefined ? {} : { Name: mount.name }),
    Source: mount.type === "tmpfs" ? "" : mount.source,
    Destination: mount.destination,
    ...(mount.driver === undefined ? {} : { Driver: mount.driver }),
    Mode: mount.mode,
    RW: mount.writable,
    Propagation: mount.propagation,
  }));
}
