import { ContainerEventType } from "../../../proto/gen/runtime/v1/event_pb.ts";
import { conflict, messageOf } from "../../base/errors.ts";
import { span } from "../../base/trace.ts";
import type { Context } from "../context.ts";
import { type Container, nowNanoseconds } from "../records.ts";
import { publishEvent } from "../sandbox/events.ts";
import { followEnd } from "./end.ts";

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
  const { record } = container;
  const { pid, ended } = await context.engine.start(container);
  record.pid = pid;
  record.state = "running";
  record.startedAt = nowNanoseconds();
  context.records.saveContainer(container);
  publishEvent(context, record.sandboxId, record.id, ContainerEventType.CONTAINER_STARTED_EVENT);
  followEnd(context, container, ended);
}
