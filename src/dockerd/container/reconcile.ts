import { Status } from "../../../proto/gen/containerd/v1/types/task_pb.ts";
import { isCode, messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import type { Daemon } from "../daemon.ts";
import { formatNano, now } from "../time.ts";
import type { Container } from "./container.ts";
import { handleExitLocked, scheduleRestart, watchExit } from "./exit.ts";
import { startHealth } from "./health.ts";
import { initDirectory } from "./paths.ts";
import { removeLocked } from "./remove.ts";
import { startsWithDaemon } from "./restart-policy.ts";
import { discardTask, startLocked } from "./start.ts";

interface FoundTask {
  status: Status;
  pid: number;
  exit?: { exitCode: number; exitedAt: string };
}

/**
 * Brings the records in line with what lives: containers run on while the daemon is away, however it ended. Tasks that
 * nobody started in full are undone, ends that were missed are dealt with, policies are applied.
 */
export async function reconcile(daemon: Daemon): Promise<void> {
  const { tasks } = await daemon.containerd.tasks.list({});
  const found = new Map<string, FoundTask>();
  for (const task of tasks)
    found.set(task.id || task.containerId, {
      status: task.status,
      pid: task.pid,
      ...(task.status === Status.STOPPED
        ? {
            exit: {
              exitCode: task.exitStatus,
              exitedAt: task.exitedAt
                ? formatNano(task.exitedAt.seconds * 1_000_000_000n + BigInt(task.exitedAt.nanos))
                : now(),
            },
          }
        : {}),
    });
  const containers = daemon.containers.all();
  await daemon.networks.reconcile(
    containers
      .filter((container) =>
        [Status.RUNNING, Status.PAUSED].includes(found.get(container.id)?.status ?? Status.UNKNOWN),
      )
      .map(({ record }) => ({
        containerId: record.id,
        ...(record.sandboxKey === "" ? {} : { sandboxPath: record.sandboxKey }),
      })),
  );
  await Promise.all(
    containers.map((container) =>
      daemon.locks
        .run(container.id, () => reconcileOne(daemon, container, found.get(container.id)))
        .catch((error) =>
          log.error("cannot reconcile a container", { id: container.id, error: messageOf(error) }),
        ),
    ),
  );
  await removeOrphans(daemon, found);
}

async function reconcileOne(
  daemon: Daemon,
  container: Container,
  task: FoundTask | undefined,
): Promise<void> {
  const { record } = container;
  const { state } = record;
  if (state.removing) {
    state.removing = false;
    await removeLocked(daemon, container, { volumes: false, force: true });
    return;
  }
  if (task && (task.status === Status.RUNNING || task.status === Status.PAUSED)) {
    adopt(daemon, container, task);
    return;
  }
  if (task?.status === Status.CREATED) {
    // Killed between create and start: nothing of the container ran.
    await discardTask(daemon, record.id);
    task = undefined;
    if (!state.running) return;
  }
  if (state.running && !state.restarting) {
    const dir = record.monitorDir ?? initDirectory(daemon, record.id);
    const recorded = daemon.monitors.exit(dir);
    await handleExitLocked(daemon, container, task?.exit ?? recorded ?? { exitCode: 255, exitedAt: now() });
    return;
  }
  if (task) {
    // It ended between the start and its record.
    state.running = true;
    state.startedAt = task.exit?.exitedAt ?? now();
    await handleExitLocked(daemon, container, task.exit ?? { exitCode: 255, exitedAt: now() });
    return;
  }
  if (state.restarting) {
    container.backoff = 100;
    scheduleRestart(daemon, container);
    return;
  }
  if (startsWithDaemon(container))
    void daemon.locks
      .run(container.id, () => (container.state.running ? undefined : startLocked(daemon, container)))
      .catch((error) => log.warn("cannot start a container", { id: record.id, error: messageOf(error) }));
}

function adopt(daemon: Daemon, container: Container, task: FoundTask): void {
  const { record } = container;
  const { state } = record;
  if (!state.running) {
    state.startedAt = now();
    record.startedBefore = true;
  }
  state.running = true;
  state.restarting = false;
  state.paused = task.status === Status.PAUSED;
  state.pid = task.pid;
  record.monitorDir ??= initDirectory(daemon, record.id);
  for (const mount of record.mounts)
    if (mount.type === "volume" && mount.name !== undefined) daemon.volumes.adopt(mount.name, record.id);
  daemon.containers.save(container);
  watchExit(daemon, container).go();
  startHealth(daemon, container);
}

/** Tasks and layers of containers whose record never came to be, or is gone. */
async function removeOrphans(daemon: Daemon, found: ReadonlyMap<string, FoundTask>): Promise<void> {
  for (const id of found.keys()) {
    if (daemon.containers.byId(id) || !/^[0-9a-f]{64}$/.test(id)) continue;
    log.warn("ending a task of no container", { id });
    await discardTask(daemon, id);
  }
  const keys: string[] = [];
  try {
    for await (const { info } of daemon.containerd.snapshots.list({ snapshotter: daemon.config.snapshotter }))
      for (const snapshot of info) if (/^[0-9a-f]{64}$/.test(snapshot.name)) keys.push(snapshot.name);
  } catch (error) {
    if (!isCode(error, "not_found")) throw error;
  }
  for (const key of keys) {
    if (daemon.containers.byId(key)) continue;
    await daemon.containerd.snapshots
      .remove({ snapshotter: daemon.config.snapshotter, key })
      .catch((error) => log.warn("cannot remove a layer of no container", { key, error: messageOf(error) }));
  }
}
