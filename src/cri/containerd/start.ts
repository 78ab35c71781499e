import { join } from "node:path";
import { sleep } from "../../base/async.ts";
import { Cleanup } from "../../base/cleanup.ts";
import { CortenError, isCode, messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import { unknownEnd } from "../container/end.ts";
import { containerDir } from "../container/paths.ts";
import type { End } from "../engine.ts";
import { type Container, nowNanoseconds } from "../records.ts";
import { mapLayers } from "../sandbox/user-namespace.ts";
import { labelledMounts } from "../spec/selinux.ts";
import type { ContainerdParts } from "./context.ts";
import { abandonStdio, makeStdio } from "./stdio.ts";

/** Makes and starts the task of a container. */
export async function startTask(
  context: ContainerdParts,
  container: Container,
): Promise<{ pid: number; ended: Promise<End | undefined> }> {
  const { record, config } = container;
  const { client } = context;
  const { id } = record;
  await using undo = new Cleanup();
  const layer = await client.snapshots.mounts({ snapshotter: record.snapshotter, key: id });
  const mounts = labelledMounts(mapLayers(context, record.sandboxId, layer.mounts), record.mountLabel);
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
  const forget = new AbortController();
  const ended = waitTask(context, id, AbortSignal.any([forget.signal, context.closing]));
  ended.catch(() => {});
  await client.tasks.start({ containerId: id }).catch((error) => {
    forget.abort();
    throw wrap("failed to start containerd task", error);
  });
  stdio.monitor?.close();
  undo.release();
  return { pid: task.pid, ended };
}

const wrap = (what: string, error: unknown) =>
  new CortenError(error instanceof CortenError ? error.code : "unknown", `${what}: ${messageOf(error)}`, {
    cause: error,
  });

/** The task's end; asks again while containerd is away. */
export async function waitTask(
  context: ContainerdParts,
  id: string,
  signal: AbortSignal = context.closing,
): Promise<End | undefined> {
  for (let delay = 100; ; delay = Math.min(delay * 2, 5000)) {
    try {
      const { exitStatus, exitedAt } = await context.client.tasks.wait({ containerId: id }, { signal });
      return {
        exitCode: exitStatus,
        exitedAt: exitedAt
          ? String(exitedAt.seconds * 1_000_000_000n + BigInt(exitedAt.nanos))
          : nowNanoseconds(),
      };
    } catch (error) {
      if (signal.aborted) return undefined;
      if (isCode(error, "not_found")) return unknownEnd();
      log.warn("waiting for a container failed, trying again", { id, error: messageOf(error) });
      await sleep(delay);
    }
  }
}
