/** CRI's container events out of the daemon's. */
import { ContainerEventType } from "../../proto/gen/runtime/v1/event_pb.ts";
import { sleep } from "../base/async.ts";
import { messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import type { ContainerEvent } from "../cri/events.ts";
import type { EventMessage } from "../engine/types.ts";
import { containerStatus } from "./container/status.ts";
import type { Context } from "./context.ts";
import { containersOf, findContainer, findSandbox } from "./find.ts";
import { sandboxIdLabel, sandboxType, typeLabel } from "./labels.ts";
import { sandboxStatus } from "./sandbox/status.ts";

const types: Record<string, ContainerEventType> = {
  create: ContainerEventType.CONTAINER_CREATED_EVENT,
  start: ContainerEventType.CONTAINER_STARTED_EVENT,
  die: ContainerEventType.CONTAINER_STOPPED_EVENT,
  destroy: ContainerEventType.CONTAINER_DELETED_EVENT,
};

/** From now on until the listener leaves; a daemon that goes away is waited for, and what it did meanwhile told. */
export async function* events(context: Context, signal: AbortSignal): AsyncGenerator<ContainerEvent> {
  let since: string | undefined;
  let last = 0;
  for (let delay = 100; !signal.aborted; delay = Math.min(delay * 2, 5000)) {
    try {
      const stream = context.client.system.events({
        filters: { type: ["container"], event: Object.keys(types), label: [typeLabel] },
        ...(since === undefined ? {} : { since }),
        signal,
      });
      // What was told before the connection was lost comes again, to the resolution of a number.
      let again = since !== undefined;
      for await (const message of stream) {
        delay = 100;
        again &&= message.timeNano <= last;
        if (again) continue;
        last = message.timeNano;
        since = `${Math.trunc(message.timeNano / 1e9)}.${String(message.timeNano).slice(-9)}`;
        yield await eventOf(context, message);
      }
    } catch (error) {
      if (!signal.aborted) log.debug("lost the daemon's events", { error: messageOf(error) });
    }
    if (!signal.aborted) await sleep(delay);
  }
}

/** With the state of the whole pod as it is now. A pod's own events carry its id as the container's. */
async function eventOf(context: Context, { Action, Actor, timeNano }: EventMessage): Promise<ContainerEvent> {
  const labels = Actor.Attributes ?? {};
  const sandboxId = labels[typeLabel] === sandboxType ? Actor.ID : (labels[sandboxIdLabel] ?? "");
  const sandbox = await findSandbox(context, sandboxId);
  const containers = await Promise.all(
    (await containersOf(context, sandboxId)).map(async ({ Id }) => findContainer(context, Id)),
  );
  const found = containers.filter((container) => container !== undefined);
  return {
    containerId: Actor.ID,
    containerEventType: types[Action]!,
    createdAt: BigInt(timeNano),
    ...(sandbox ? { podSandboxStatus: await sandboxStatus(context, sandbox) } : {}),
    containersStatuses: await Promise.all(found.map((container) => containerStatus(context, container))),
  };
}
