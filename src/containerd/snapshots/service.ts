import type { ServiceImpl } from "@connectrpc/connect";
import {
  SnapshotCommitSchema,
  SnapshotPrepareSchema,
  SnapshotRemoveSchema,
} from "../../../proto/gen/containerd/events/snapshot_pb.ts";
import type { Snapshots } from "../../../proto/gen/containerd/services/snapshots/v1/snapshots_pb.ts";
import { invalid } from "../../base/errors.ts";
import type { Mount } from "../../store/index.ts";
import { leaseOf, namespaceOf } from "../context.ts";
import type { Exchange } from "../events/exchange.ts";
import type { NamespacedSnapshots } from "./store.ts";

const listBatch = 100;

export function snapshotsService(
  snapshotters: ReadonlyMap<string, NamespacedSnapshots>,
  events: Exchange,
): ServiceImpl<typeof Snapshots> {
  const of = (name: string): NamespacedSnapshots => {
    if (name === "") throw invalid("snapshotter argument missing: invalid argument");
    const found = snapshotters.get(name);
    if (!found) throw invalid(`snapshotter not loaded: ${name}: invalid argument`);
    return found;
  };
  return {
    async prepare(request, context) {
      const namespace = namespaceOf(context);
      const { snapshotter, key, parent, labels } = request;
      const lease = leaseOf(context);
      const mounts = await of(snapshotter).make("prepare", namespace, lease, key, parent, labels);
      events.publish(namespace, "/snapshot/prepare", SnapshotPrepareSchema, { key, parent });
      return { mounts: mounts.map(toMount) };
    },
    async view(request, context) {
      const namespace = namespaceOf(context);
      const { snapshotter, key, parent, labels } = request;
      const mounts = await of(snapshotter).make("view", namespace, leaseOf(context), key, parent, labels);
      events.publish(namespace, "/snapshot/prepare", SnapshotPrepareSchema, { key, parent });
      return { mounts: mounts.map(toMount) };
    },
    async mounts(request, context) {
      const mounts = await of(request.snapshotter).mounts(namespaceOf(context), request.key);
      return { mounts: mounts.map(toMount) };
    },
    async commit(request, context) {
      const namespace = namespaceOf(context);
      const { snapshotter, name, key, labels } = request;
      await of(snapshotter).commit(namespace, leaseOf(context), name, key, labels);
      events.publish(namespace, "/snapshot/commit", SnapshotCommitSchema, { key, name });
      return {};
    },
    async remove(request, context) {
      const namespace = namespaceOf(context);
      await of(request.snapshotter).remove(namespace, request.key);
      events.publish(namespace, "/snapshot/remove", SnapshotRemoveSchema, { key: request.key });
      return {};
    },
    async stat(request, context) {
      return { info: await of(request.snapshotter).stat(namespaceOf(context), request.key) };
    },
    async update(request, context) {
      if (!request.info) throw invalid("snapshot info is missing: invalid argument");
      const { name, labels } = request.info;
      const paths = request.updateMask?.paths ?? [];
      return { info: await of(request.snapshotter).update(namespaceOf(context), name, labels, paths) };
    },
    async *list(request, context) {
      const found = await of(request.snapshotter).list(namespaceOf(context), request.filters);
      for (let at = 0; at < found.length; at += listBatch) yield { info: found.slice(at, at + listBatch) };
    },
    async usage(request, context) {
      const { size, inodes } = await of(request.snapshotter).usage(namespaceOf(context), request.key);
      return { size: BigInt(size), inodes: BigInt(inodes) };
    },
    async cleanup(request) {
      await of(request.snapshotter).backend.cleanup();
      return {};
    },
  };
}

export const toMount = (mount: Mount) => ({
  type: mount.type,
  source: mount.source,
  target: mount.target ?? "",
  options: mount.options,
});
