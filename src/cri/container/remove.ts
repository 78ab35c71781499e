import { ContainerEventType } from "../../../proto/gen/runtime/v1/event_pb.ts";
import type { Context } from "../context.ts";
import type { Container } from "../records.ts";
import { publishEvent } from "../sandbox/events.ts";
import { discardContainer } from "./create.ts";
import { stopContainer } from "./stop.ts";
import { releaseVolumes } from "./volumes.ts";

/** Ends a container that still runs, and removes all of it but its log. */
export async function removeContainer(context: Context, container: Container): Promise<void> {
  const { record } = container;
  await stopContainer(context, container, 0);
  await context.locks.run(record.id, async () => {
    if (!context.records.containers.find(record.id)) return;
    record.state = "removing";
    context.records.saveContainer(container);
    await context.engine.abandon?.(record);
    releaseVolumes(context, container);
    await discardContainer(context, container);
    context.records.dropContainer(record.id);
    publishEvent(context, record.sandboxId, record.id, ContainerEventType.CONTAINER_DELETED_EVENT);
  });
}
