import { ContainerEventType } from "../../../proto/gen/runtime/v1/event_pb.ts";
import { sleep } from "../../base/async.ts";
import { isCode, messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import { readExit } from "../../monitor/index.ts";
import type { Context } from "../context.ts";
import { type Container, nowNanoseconds } from "../records.ts";
import { publishEvent } from "../sandbox/events.ts";

export interface End {
  exitCode: number;
  /** Nanoseconds. */
  exitedAt: string;
  reason?: string;
}

/** What cannot be known any more, as containerd reports it. */
export const unknownEnd = (): End => ({ exitCode: 255, exitedAt: nowNanoseconds(), reason: "Unknown" });

/** Waits for the end of a container's process from now on; it is dealt with after `go`, when the start has been recorded. */
export function watchEnd(context: Context, container: Container): { go(): void; forget(): void } {
  const abort = new AbortController();
  const signal = AbortSignal.any([abort.signal, context.closing]);
  const waiting = waitTask(context, container.record.id, signal);
  waiting.catch(() => {});
  return {
    go: () => {
      container.ended = waiting
        .then((end) => (end ? handleEnd(context, container, end) : undefined))
        .catch((error) =>
          log.error("the end of a container is lost", { id: container.record.id, error: messageOf(error) }),
        );
    },
    forget: () => abort.abort(),
  };
}

/** The task's end; asks again while containerd is away. */
async function waitTask(context: Context, id: string, signal: AbortSignal): Promise<End | undefined> {
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

/** A container has ended: its task goes, its end is recorded and told. */
export function handleEnd(context: Context, container: Container, end: End): Promise<void> {
  const { record } = container;
  return context.locks.run(`${record.id}/end`, async () => {
    if (record.state !== "running") return;
    const oomKilled = (readExit(record.monitorDir)?.oomKilled ?? false) || container.oomKilled === true;
    await context.client.tasks.delete({ containerId: record.id }).catch((error) => {
      if (!isCode(error, "not_found"))
        log.warn("cannot delete a task", { id: record.id, error: messageOf(error) });
    });
    record.state = "exited";
    record.pid = 0;
    record.exitCode = end.exitCode;
    record.finishedAt = end.exitedAt;
    record.reason = end.reason ?? (oomKilled ? "OOMKilled" : "");
    context.records.saveContainer(container);
    publishEvent(context, record.sandboxId, record.id, ContainerEventType.CONTAINER_STOPPED_EVENT);
  });
}
