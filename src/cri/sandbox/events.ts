import type { ContainerEventType } from "../../../proto/gen/runtime/v1/event_pb.ts";
import { containerStatus } from "../container/status.ts";
import type { Context } from "../context.ts";
import { nowNanoseconds } from "../records.ts";
import { sandboxStatus } from "./status.ts";

/** Tells who listens what happened, with the state of the whole pod. A pod's own events carry its id as the container's. */
export function publishEvent(
  context: Context,
  sandboxId: string,
  containerId: string,
  type: ContainerEventType,
): void {
  if (!context.events.heard) return;
  const sandbox = context.records.sandboxes.find(sandboxId);
  context.events.publish({
    containerId,
    containerEventType: type,
    createdAt: BigInt(nowNanoseconds()),
    ...(sandbox ? { podSandboxStatus: sandboxStatus(sandbox) } : {}),
    containersStatuses: context.records
      .containersOf(sandboxId)
      .map((container) => containerStatus(container)),
  });
}
