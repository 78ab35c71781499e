import { readFileSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import type { Spec } from "../oci/runtime-spec.ts";
import { cgroupLayout } from "../sys/cgroup/index.ts";

/**
 * Removes the cgroups of a container whose runtime was killed after it had made them and before it wrote that
 * down. Where they are follows from the configuration; one that still has processes is somebody else's and stays.
 */
export async function removeLeftCgroups(bundle: string, id: string, systemd: boolean): Promise<void> {
  try {
    const spec = JSON.parse(readFileSync(join(bundle, "config.json"), "utf8")) as Spec;
    const { containerDirectories, containerProcesses, removeCgroups } = await import(
      "../runc/cgroup/manager.ts"
    );
    const directories = containerDirectories(cgroupLayout(), spec, id, systemd);
    if (containerProcesses(directories).length === 0) await removeCgroups(directories);
  } catch (error) {
    log.debug("no cgroups to remove", { task: id, error: messageOf(error) });
  }
}
