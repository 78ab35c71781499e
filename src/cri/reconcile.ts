import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { readExit } from "../monitor/index.ts";
import { discardContainer } from "./container/create.ts";
import { followEnd, handleEnd, unknownEnd } from "./container/end.ts";
import { removeContainer } from "./container/remove.ts";
import { releaseVolumes } from "./container/volumes.ts";
import type { Context } from "./context.ts";
import type { FoundTask } from "./engine.ts";
import { type Container, nanosecondsOf, nowNanoseconds } from "./records.ts";
import { watchHolder } from "./sandbox/holder-task.ts";
import { mountedNamespaces, removeNamespace } from "./sandbox/namespaces.ts";
import { discardSandbox, removeSandbox } from "./sandbox/stop.ts";
import { unmountFiles } from "./sandbox/user-namespace.ts";

/** Brings the records in line with what lives: pods run on while the server is away, however it ended. */
export async function reconcile(context: Context): Promise<void> {
  const tasks = await context.engine.tasks();
  for (const container of context.records.containers.all())
    await reconcileContainer(context, container, tasks.get(container.record.id)).catch((error) =>
      log.error("cannot reconcile a container", { id: container.record.id, error: messageOf(error) }),
    );
  const mounted = mountedNamespaces();
  for (const sandbox of context.records.sandboxes.all()) {
    const { record } = sandbox;
    try {
      if (record.state === "making") await discardSandbox(context, sandbox);
      else if (record.state === "removing") await removeSandbox(context, sandbox);
      else if (record.state === "ready") {
        const namespaces = Object.values(record.namespaces).every((path) => mounted.has(path));
        const holder = !record.holder || tasks.get(record.id)?.status === "running";
        if (namespaces && holder) {
          if (record.holder) watchHolder(context, sandbox);
          continue;
        }
        // After a reboot: the network is given back by the stop that kubelet asks for.
        record.state = "notready";
        context.records.saveSandbox(sandbox);
        log.info("a pod did not survive", { id: record.id });
      }
    } catch (error) {
      log.error("cannot reconcile a pod", { id: record.id, error: messageOf(error) });
    }
  }
  removeOrphans(context);
}

async function reconcileContainer(
  context: Context,
  container: Container,
  task: FoundTask | undefined,
): Promise<void> {
  const { record } = container;
  if (record.state === "removing") return removeContainer(context, container);
  if (record.state === "making") {
    await context.engine.abandon?.(record);
    releaseVolumes(context, container);
    await discardContainer(context, container);
    context.records.dropContainer(record.id);
    return;
  }
  if (task?.status === "created") {
    // Killed between create and start: nothing of it ran, and kubelet will ask again.
    await context.engine.unstart(record.id);
    task = undefined;
  }
  if (!task && record.state === "created") {
    await context.engine.abandon?.(record);
    return;
  }
  if (task?.status === "running") {
    if (record.state === "created") record.startedAt = nowNanoseconds();
    record.state = "running";
    record.pid = task.pid;
    context.records.saveContainer(container);
    followEnd(context, container, context.engine.wait(record.id));
    return;
  }
  if (task?.status === "stopped" && record.state === "created") {
    // It ended between its start and its record.
    record.state = "running";
    record.startedAt = task.end.exitedAt;
  }
  if (record.state !== "running") return;
  const known = record.monitorDir === "" ? undefined : readExit(record.monitorDir);
  const recorded = known && {
    exitCode: known.exitCode,
    exitedAt: nanosecondsOf(known.exitedAt),
  };
  await handleEnd(context, container, task?.status === "stopped" ? task.end : (recorded ?? unknownEnd()));
}

/** Files of pods and containers that no record names. */
function removeOrphans({ config, records, removal }: Context): void {
  const names = (dir: string) => (existsSync(dir) ? readdirSync(dir) : []);
  for (const name of names(join(config.state, "namespaces")))
    if (!records.sandboxes.find(name.replace(/^\w+-/, "")))
      removeNamespace(join(config.state, "namespaces", name));
  for (const [root, place] of [
    [config.root, removal.data],
    [config.state, removal.runtime],
  ] as const)
    for (const kind of ["sandboxes", "containers"] as const)
      for (const id of names(join(root, kind))) {
        if (records[kind].find(id)) continue;
        unmountFiles({ shm: join(root, kind, id, "shm"), mapped: join(root, kind, id, "mapped") });
        place.discard(join(root, kind, id));
      }
}
