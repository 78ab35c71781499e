import { type DescMessage, fromBinary, type Message } from "@bufbuild/protobuf";
import { type Any, type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";
import * as containerEvents from "../../../proto/gen/containerd/events/container_pb.ts";
import * as contentEvents from "../../../proto/gen/containerd/events/content_pb.ts";
import * as namespaceEvents from "../../../proto/gen/containerd/events/namespace_pb.ts";
import * as snapshotEvents from "../../../proto/gen/containerd/events/snapshot_pb.ts";
import * as taskEvents from "../../../proto/gen/containerd/events/task_pb.ts";
import * as imageEvents from "../../../proto/gen/containerd/services/images/v1/events_pb.ts";
import type { ContainerdClient } from "./types.ts";
import { bareName } from "./typeurl.ts";

/** An event as it came; `event` is decoded when its type is one of containerd's own. */
export interface ContainerdEvent {
  /** `/tasks/exit`, `/containers/create`, … */
  topic: string;
  namespace: string;
  timestamp: Date;
  /** With nanoseconds, which `timestamp` cannot hold. */
  time: Timestamp | undefined;
  any: Any | undefined;
  event: EventMessage | undefined;
}

type EventMessage =
  | taskEvents.TaskCreate
  | taskEvents.TaskStart
  | taskEvents.TaskDelete
  | taskEvents.TaskExit
  | taskEvents.TaskOOM
  | taskEvents.TaskExecAdded
  | taskEvents.TaskExecStarted
  | taskEvents.TaskPaused
  | taskEvents.TaskResumed
  | taskEvents.TaskIO
  | taskEvents.TaskCheckpointed
  | containerEvents.ContainerCreate
  | containerEvents.ContainerUpdate
  | containerEvents.ContainerDelete
  | contentEvents.ContentDelete
  | imageEvents.ImageCreate
  | imageEvents.ImageUpdate
  | imageEvents.ImageDelete
  | namespaceEvents.NamespaceCreate
  | namespaceEvents.NamespaceUpdate
  | namespaceEvents.NamespaceDelete
  | snapshotEvents.SnapshotPrepare
  | snapshotEvents.SnapshotCommit
  | snapshotEvents.SnapshotRemove;

const schemas = new Map<string, DescMessage>();
for (const file of [containerEvents, contentEvents, namespaceEvents, snapshotEvents, taskEvents, imageEvents])
  for (const value of Object.values(file))
    if (typeof value === "object" && value.kind === "message") schemas.set(value.typeName, value);

/** The message in an event's `Any`, or undefined when its type is unknown or its bytes are broken. */
export function decodeEvent(any: Any | undefined): Message | undefined {
  const schema = any && schemas.get(bareName(any.typeUrl));
  if (!any || !schema) return undefined;
  try {
    return fromBinary(schema, any.value);
  } catch {
    return undefined;
  }
}

/**
 * Events from now on that match one of `filters` (containerd's syntax; none: all), until `signal` aborts,
 * the caller leaves the loop, or the daemon goes away (which throws). In process the subscription is in
 * place when this returns.
 */
export function subscribe(
  client: ContainerdClient,
  filters: string[] = [],
  signal?: AbortSignal,
): AsyncIterableIterator<ContainerdEvent> {
  const source = client.events.subscribe({ filters }, signal ? { signal } : {})[Symbol.asyncIterator]();
  let ahead: ReturnType<typeof source.next> | undefined = source.next();
  ahead.catch(() => {});
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    async next() {
      const result = await (ahead ?? source.next());
      ahead = undefined;
      if (result.done) return { done: true, value: undefined };
      const envelope = result.value;
      return {
        done: false,
        value: {
          topic: envelope.topic,
          namespace: envelope.namespace,
          timestamp: envelope.timestamp ? timestampDate(envelope.timestamp) : new Date(),
          time: envelope.timestamp,
          any: envelope.event,
          event: decodeEvent(envelope.event) as EventMessage | undefined,
        },
      };
    },
    async return() {
      await source.return?.();
      return { done: true, value: undefined };
    },
  };
}

/** Publishes an event of the caller's own under `topic`. */
export async function publish(client: ContainerdClient, topic: string, event: Any): Promise<void> {
  await client.events.publish({ topic, event });
}
