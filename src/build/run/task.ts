import { join } from "node:path";
import { CortenError, isCode, messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import { packSpec } from "../../containerd/client/index.ts";
import type { Spec } from "../../oci/runtime-spec.ts";
import type { Execution } from "../types.ts";

/** Label of the containers that RUN steps are; never a user's. */
export const stepLabel = "corten.build";

/** Where the output of a step passes through. */
export const outputOf = (directory: string): string => join(directory, "io");

export interface StepTask {
  id: string;
  /** The step's own, below the exec root. */
  directory: string;
  spec: Spec;
  mounts: Awaited<ReturnType<Execution["client"]["snapshots"]["mounts"]>>["mounts"];
}

/**
 * Runs a process to its end and returns its exit code; its output goes to the vertex's log. An abort kills it. Nothing of
 * the task is left, whatever happens.
 */
export async function runTask(execution: Execution, step: StepTask): Promise<number> {
  const { client, snapshotter, services, signal, vertex, progress } = execution;
  const { id } = step;
  const runtime = services.runtime ?? { name: "io.containerd.runc.v2" };
  await client.containers.create({
    container: {
      id,
      labels: { [stepLabel]: vertex.digest },
      runtime: { name: runtime.name, ...(runtime.options ? { options: runtime.options } : {}) },
      spec: packSpec(step.spec),
      snapshotter,
      snapshotKey: id,
    },
  });
  let created = false;
  try {
    const stdio = await services.stdio.open(outputOf(step.directory));
    let reading: { ended: Promise<void> };
    try {
      await client.tasks.create({
        containerId: id,
        rootfs: step.mounts,
        stdin: "",
        stdout: stdio.stdout,
        stderr: stdio.stderr,
      });
      created = true;
      reading = await stdio.read((stream, data) =>
        progress.log({ vertex: vertex.digest, stream, data, timestamp: new Date() }),
      );
    } catch (error) {
      stdio.abandon();
      throw error;
    }
    const kill = () => {
      client.tasks.kill({ containerId: id, signal: 9, all: true }).catch((error) => {
        if (!isCode(error, "not_found"))
          log.warn(`cannot kill build step ${id}`, { error: messageOf(error) });
      });
    };
    const exited = client.tasks.wait({ containerId: id });
    exited.catch(() => {});
    await client.tasks.start({ containerId: id });
    if (signal.aborted) kill();
    signal.addEventListener("abort", kill, { once: true });
    try {
      const { exitStatus } = await exited;
      await reading.ended;
      if (signal.aborted) throw new CortenError("canceled", "context canceled");
      return exitStatus;
    } finally {
      signal.removeEventListener("abort", kill);
    }
  } finally {
    if (created) await endTask(execution.client, id);
    await client.containers.delete({ id });
  }
}

/** Ends and deletes a task, in whatever state it is. */
export async function endTask(client: Execution["client"], id: string): Promise<void> {
  try {
    await client.tasks.delete({ containerId: id });
    return;
  } catch (error) {
    if (isCode(error, "not_found")) return;
  }
  // It still runs: a failure between its start and its end, or a daemon that was killed.
  await client.tasks.kill({ containerId: id, signal: 9, all: true }).catch(() => {});
  await client.tasks.wait({ containerId: id }, { timeoutMs: 10_000 }).catch(() => {});
  await client.tasks.delete({ containerId: id }).catch((error) => {
    if (!isCode(error, "not_found")) log.warn(`build step ${id} is left`, { error: messageOf(error) });
  });
}
