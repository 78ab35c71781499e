/** What a daemon that was killed in the middle of RUN steps left behind. */
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import { unmountAll } from "../../sys/mount.ts";
import { readMountInfo } from "../../sys/mountinfo.ts";
import type { BuildServices } from "../types.ts";
import { stepPrefix } from "./execute.ts";
import { endTask, outputOf, stepLabel } from "./task.ts";

/** Ends the tasks, removes the containers, mounts and directories of steps whose build is gone. Snapshots go with its lease. */
export async function sweepSteps({ client, snapshotter, execRoot, stdio }: BuildServices): Promise<void> {
  const { containers } = await client.containers.list({ filters: [`labels.${JSON.stringify(stepLabel)}`] });
  for (const { id } of containers) {
    await stdio
      .discard(outputOf(join(execRoot, id)))
      .catch((error) => log.warn(`cannot leave the output of ${id}`, { error: messageOf(error) }));
    await endTask(client, id);
    await client.containers
      .delete({ id })
      .catch((error) => log.warn(`cannot delete ${id}`, { error: messageOf(error) }));
    // Held by no lease when the daemon's containerd is another's and the lease outlived it.
    await client.snapshots.remove({ snapshotter, key: id }).catch(() => {});
  }
  mkdirSync(execRoot, { recursive: true, mode: 0o700 });
  for (const name of readdirSync(execRoot)) {
    if (!name.startsWith(stepPrefix)) continue;
    const directory = join(execRoot, name);
    for (const { mountPoint } of readMountInfo().reverse())
      if (mountPoint.startsWith(`${directory}/`)) unmountAll(mountPoint);
    rmSync(directory, { recursive: true, force: true });
  }
}
