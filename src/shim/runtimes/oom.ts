import type { Spec } from "../../oci/runtime-spec.ts";
import { cgroupLayout } from "../../sys/cgroup/index.ts";
import type { MonitorPlace } from "../types.ts";

/**
 * The cgroup in which the monitor is to see OOM kills: where the specification puts the container, with every runtime.
 * Its exit record, which outlives us, then says so. A directory that is not there tells of none.
 */
export async function oomWatch(spec: Spec, id: string, systemd: boolean): Promise<MonitorPlace["oom"]> {
  const { containerDirectories } = await import("../../runc/cgroup/manager.ts");
  const layout = cgroupLayout();
  const directories = containerDirectories(layout, spec, id, systemd);
  const version = layout.mode === "v2" ? 2 : 1;
  const path = directories[version === 2 ? "" : "memory"];
  return path === undefined ? undefined : { version, path };
}
