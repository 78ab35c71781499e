import { Containers } from "../../../proto/gen/containerd/services/containers/v1/containers_pb.ts";
import { Content } from "../../../proto/gen/containerd/services/content/v1/content_pb.ts";
import { Diff } from "../../../proto/gen/containerd/services/diff/v1/diff_pb.ts";
import { Events } from "../../../proto/gen/containerd/services/events/v1/events_pb.ts";
import { Images } from "../../../proto/gen/containerd/services/images/v1/images_pb.ts";
import { Introspection } from "../../../proto/gen/containerd/services/introspection/v1/introspection_pb.ts";
import { Leases } from "../../../proto/gen/containerd/services/leases/v1/leases_pb.ts";
import { Namespaces } from "../../../proto/gen/containerd/services/namespaces/v1/namespace_pb.ts";
import { Snapshots } from "../../../proto/gen/containerd/services/snapshots/v1/snapshots_pb.ts";
import { Tasks } from "../../../proto/gen/containerd/services/tasks/v1/tasks_pb.ts";
import { Version } from "../../../proto/gen/containerd/services/version/v1/version_pb.ts";
import { traceparent } from "../../base/trace.ts";
import { type Caller, makeClient } from "./call.ts";
import { type InProcessServices, LocalCaller } from "./local.ts";
import type { ContainerdClient } from "./types.ts";

export type { InProcessServices } from "./local.ts";

/**
 * Below HTTP/2's window of 64 KiB: Bun's http2 client now and then stops in the middle of a message that is larger
 * (1 blob in 25 of a few MiB never ended). In process a message has no size, only a price.
 */
const remotePiece = 48 << 10;
const localPiece = 1 << 20;

/** A client of the containerd (ours or another) that listens at `socketPath`; connects at the first call. */
export async function connectContainerd(socketPath: string, namespace: string): Promise<ContainerdClient> {
  const { RemoteCaller } = await import("./remote.ts");
  const caller = new RemoteCaller(socketPath);
  return clientOver(caller, namespace, undefined, remotePiece, () => caller.close());
}

/** A client of a daemon in this process: direct calls, nothing serialised. */
export function inProcess(services: InProcessServices, namespace: string): ContainerdClient {
  return clientOver(new LocalCaller(services), namespace, undefined, localPiece, () => {});
}

function clientOver(
  caller: Caller,
  namespace: string,
  lease: string | undefined,
  pieceSize: number,
  close: () => void,
): ContainerdClient {
  const make = () => {
    const all = new Headers({ "containerd-namespace": namespace });
    if (lease !== undefined) all.set("containerd-lease", lease);
    return all;
  };
  // The same for every call, and only read: a transport copies what it adds to.
  const plain = make();
  const headers = () => {
    const trace = traceparent();
    if (!trace) return plain;
    const all = make();
    all.set("traceparent", trace);
    return all;
  };
  return {
    containers: makeClient(Containers, caller, headers),
    tasks: makeClient(Tasks, caller, headers),
    images: makeClient(Images, caller, headers),
    content: makeClient(Content, caller, headers),
    snapshots: makeClient(Snapshots, caller, headers),
    diff: makeClient(Diff, caller, headers),
    leases: makeClient(Leases, caller, headers),
    events: makeClient(Events, caller, headers),
    namespaces: makeClient(Namespaces, caller, headers),
    introspection: makeClient(Introspection, caller, headers),
    version: makeClient(Version, caller, headers),
    namespace,
    lease,
    pieceSize,
    with: (change) =>
      clientOver(caller, change.namespace ?? namespace, change.lease ?? lease, pieceSize, close),
    close,
  };
}
