import { conflict, isCode, messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import { span } from "../../base/trace.ts";
import type { Daemon } from "../daemon.ts";
import type { Container } from "./container.ts";
import { containerEvent } from "./events.ts";
import { containerDirectory, runDirectory } from "./paths.ts";
import { releaseLabel } from "./selinux.ts";
import { cancelRestart } from "./start.ts";
import { killAndWait } from "./stop.ts";

export interface RemoveOptions {
  /** Anonymous volumes go as well. */
  volumes: boolean;
  /** A running container is killed first. */
  force: boolean;
}

/** Removes a container with its layer, logs and, when asked, its anonymous volumes. */
export async function removeContainer(
  daemon: Daemon,
  container: Container,
  options: RemoveOptions,
): Promise<void> {
  const { state } = container;
  if (state.removing) throw conflict(`removal of container ${container.name} is already in progress`);
  if (state.running) {
    if (!options.force) {
      const hint = state.paused
        ? "container is paused and must be unpaused first"
        : `container is ${container.status}: stop the container before removing or force remove`;
      throw conflict(`cannot remove container ${JSON.stringify(`/${container.name}`)}: ${hint}`);
    }
    await killAndWait(daemon, container);
  }
  await daemon.locks.run(container.id, async () => {
    // `--rm` may have been faster.
    if (daemon.containers.byId(container.id) === container) await removeLocked(daemon, container, options);
  });
}

export async function removeLocked(
  daemon: Daemon,
  container: Container,
  options: RemoveOptions,
): Promise<void> {
  const { record } = container;
  const { id, state } = record;
  if (state.running)
    throw conflict(
      `cannot remove container ${JSON.stringify(`/${container.name}`)}: container is ${container.status}: stop the container before removing or force remove`,
    );
  state.removing = true;
  cancelRestart(container);
  try {
    await span("dockerd", "remove snapshot", () =>
      daemon.containerd.snapshots.remove({ snapshotter: record.snapshotter, key: id }),
    ).catch((error) => {
      if (!isCode(error, "not_found")) throw error;
    });
    daemon.removal.exec.discard(runDirectory(daemon, id));
    daemon.removal.data.discard(containerDirectory(daemon, id));
  } catch (error) {
    state.removing = false;
    state.dead = true;
    daemon.containers.save(container);
    throw error;
  }
  for (const exec of container.execs.values()) daemon.execs.remove(exec);
  for (const pending of container.pendingAttaches) pending.failed();
  daemon.containers.remove(container);
  releaseLabel(daemon, container.record);
  containerEvent(daemon, container, "destroy");
  if (options.volumes) removeAnonymousVolumes(daemon, container);
  container.announce("removed", "next-exit", "not-running");
}

function removeAnonymousVolumes(daemon: Daemon, container: Container): void {
  for (const mount of container.record.mounts) {
    if (mount.type !== "volume" || !mount.anonymous || mount.name === undefined) continue;
    if (volumeUsers(daemon, mount.name).length > 0) continue;
    try {
      if (daemon.volumes.remove(mount.name, [], true))
        daemon.events.publish("volume", "destroy", mount.name, { driver: mount.driver ?? "local" });
    } catch (error) {
      log.warn("cannot remove an anonymous volume", { name: mount.name, error: messageOf(error) });
    }
  }
}

/** Ids of the containers that refer to a volume. */
export function volumeUsers(daemon: Daemon, name: string): string[] {
  return daemon.containers
    .all()
    .filter((container) =>
      container.record.mounts.some((mount) => mount.type === "volume" && mount.name === name),
    )
    .map((container) => container.id);
}
