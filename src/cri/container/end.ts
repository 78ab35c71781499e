import { ContainerEventType } from "../../../proto/gen/runtime/v1/event_pb.ts";
import { messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import type { Context } from "../context.ts";
import type { End } from "../engine.ts";
import { type Container, nowNanoseconds } from "../records.ts";
import { publishEvent } from "../sandbox/events.ts";

/** What cannot be known any more, as containerd reports it. */
export const unknownEnd = (): End => ({ exitCode: 255, exitedAt: nowNanoseconds(), reason: "Unknown" });

/** Deals with the end of a container's process when it comes. */
export function followEnd(context: Context, container: Container, ended: Promise<End | undefined>): void {
  container.ended = ended
    .then((end) => (end ? handleEnd(context, container, end) : undefined))
    .catch((error) =>
      log.error("the end of a container is lost", { id: container.record.id, error: messageOf(error) }),
    );
}

/** A container has ended: its task goes, its end is recorded and told. */
export function handleEnd(context: Context, container: Container, end: End): Promise<void> {
  const { record } = container;
  return context.locks.run(`${record.id}/end`, async () => {
    if (record.state !== "running") return;
    const { oomKilled } = await context.engine.release(container);
    record.state = "exited";
    record.pid = 0;
    record.exitCode = end.exitCode;
    record.finishedAt = end.exitedAt;
    record.reason = end.reason ?? (oomKilled ? "OOMKilled" : "");
    context.records.saveContainer(container);
    publishEvent(context, record.sandboxId, record.id, ContainerEventType.CONTAINER_STOPPED_EVENT);
  });
}
