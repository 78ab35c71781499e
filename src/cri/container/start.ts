import { join } from "node:path";
import { ContainerEventType } from "../../../proto/gen/runtime/v1/event_pb.ts";
import { Cleanup } from "../../base/cleanup.ts";
import { CortenError, conflict, messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import { span } from "../../base/trace.ts";
import type { Context } from "../context.ts";
import { type Container, nowNanoseconds } from "../records.ts";
import { publishEvent } from "../sandbox/events.ts";
import { watchEnd } from "./end.ts";
import { containerDir } from "./paths.ts";
import { abandonStdio, makeStdio } from "./stdio.ts";

/** Starts a created container. One that cannot be started has ended, with code 128 and the reason. */
export function startContainer(context: Context, container: Container): Promise<void> {
  const { record } = container;
  return context.locks.run(record.id, async () => {
    // A retry of a start that succeeded.
    if (record.state === "running") return;
    if (record.state !== "created")
      throw conflict(
        `failed to start container ${JSON.stringify(record.id)}: container is in ${stateName(record.state)} state`,
      );
    const sandbox = context.records.sandboxes.get(record.sandboxId);
    if (sandbox.record.state !== "ready")
      throw conflict(`sandbox container ${JSON.stringify(record.sandboxId)} is not running`);
    try {
      await span("cri", "start container", () => run(context, container));
    } catch (error) {
      record.state = "exited";
      record.finishedAt = nowNanoseconds();
      record.exitCode = 128;
      record.reason = "StartError";
      record.message = messageOf(error);
      record.pid = 0;
      context.records.saveContainer(container);
      publishEvent(context, record.sandboxId, record.id, ContainerEventType.CONTAINER_STOPPED_EVENT);
      throw error;
    }
  });
}

const stateName = (state: string) =>
  `CONTAINER_${state === "removing" || state === "exited" ? "EXITED" : state.toUpperCase()}`;

async function run(context: Context, container: Container): Promise<void> {
  const { record, config } = container;
  const { client } = context;
  const { id } = record;
  await using undo = new Cleanup();
  const { mounts } = await client.snapshots.mounts({ snapshotter: record.snapshotter, key: id });
  record.monitorDir = join(containerDir(context, id).runtimeDir, "init");
  const stdio = await makeStdio(context, {
    dir: record.monitorDir,
    terminal: config.tty,
    stdin: config.stdin,
    ...(record.logPath === "" ? {} : { log: record.logPath }),
  });
  undo.add("end streams", () => abandonStdio(stdio));
  const task = await client.tasks
    .create({ containerId: id, rootfs: mounts, terminal: config.tty, ...stdio.paths })
    .catch((error) => {
      throw wrap("failed to create containerd task", error);
    });
  undo.add("delete the task", async () => {
    await client.tasks.kill({ containerId: id, signal: 9, all: true }).catch(() => {});
    await client.tasks
      .delete({ containerId: id })
      .catch((error) => log.debug("task", { error: messageOf(error) }));
  });
  record.pid = task.pid;
  const end = watchEnd(context, container);
  await client.tasks.start({ containerId: id }).catch((error) => {
    end.forget();
    throw wrap("failed to start containerd task", error);
  });
  stdio.monitor?.close();
  undo.release();
  record.state = "running";
  record.startedAt = nowNanoseconds();
  context.records.saveContainer(container);
  publishEvent(context, record.sandboxId, id, ContainerEventType.CONTAINER_STARTED_EVENT);
  end.go();
}

const wrap = (what: string, error: unknown) =>
  new CortenError(error instanceof CortenError ? error.code : "unknown", `${what}: ${messageOf(error)}`, {
    cause: error,
  });
