import { closeSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { Containers } from "../../proto/gen/containerd/services/containers/v1/containers_pb.ts";
import { Content } from "../../proto/gen/containerd/services/content/v1/content_pb.ts";
import { Diff } from "../../proto/gen/containerd/services/diff/v1/diff_pb.ts";
import { Events } from "../../proto/gen/containerd/services/events/v1/events_pb.ts";
import { ImageDeleteSchema } from "../../proto/gen/containerd/services/images/v1/events_pb.ts";
import { Images } from "../../proto/gen/containerd/services/images/v1/images_pb.ts";
import { Introspection } from "../../proto/gen/containerd/services/introspection/v1/introspection_pb.ts";
import { Leases } from "../../proto/gen/containerd/services/leases/v1/leases_pb.ts";
import { Namespaces } from "../../proto/gen/containerd/services/namespaces/v1/namespace_pb.ts";
import { Controller, Store } from "../../proto/gen/containerd/services/sandbox/v1/sandbox_pb.ts";
import { Snapshots } from "../../proto/gen/containerd/services/snapshots/v1/snapshots_pb.ts";
import { Streaming } from "../../proto/gen/containerd/services/streaming/v1/streaming_pb.ts";
import { Tasks } from "../../proto/gen/containerd/services/tasks/v1/tasks_pb.ts";
import { Transfer } from "../../proto/gen/containerd/services/transfer/v1/transfer_pb.ts";
import { Version } from "../../proto/gen/containerd/services/version/v1/version_pb.ts";
import { Cleanup } from "../base/cleanup.ts";
import { messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { Shim } from "../shim/index.ts";
import { openContentStore, openNative, openOverlayfs, type Snapshotter } from "../store/index.ts";
import { inProcess } from "./client/connect.ts";
import type { InProcessServices } from "./client/local.ts";
import type { ContainerdClient } from "./client/types.ts";
import { ContainerStore, containersService } from "./containers/service.ts";
import { contentService } from "./content/service.ts";
import { NamespacedContent } from "./content/store.ts";
import { diffService } from "./diff/service.ts";
import { Exchange } from "./events/exchange.ts";
import { eventsService } from "./events/service.ts";
import { Collector } from "./gc/collector.ts";
import { SharedLock } from "./gc/lock.ts";
import { imagesService } from "./images/service.ts";
import { introspectionService } from "./introspection.ts";
import { leasesService } from "./leases/service.ts";
import { Metadata } from "./metadata/metadata.ts";
import { namespacesService } from "./namespaces.ts";
import { lockRoot } from "./root-lock.ts";
import { sandboxControllerService } from "./sandboxes/controller.ts";
import { SandboxStore, sandboxStoreService } from "./sandboxes/store.ts";
import { ExternalShims } from "./shims/external.ts";
import { snapshotsService } from "./snapshots/service.ts";
import { NamespacedSnapshots } from "./snapshots/store.ts";
import { streamingService } from "./streaming/service.ts";
import { Streams } from "./streaming/streams.ts";
import { tasksService } from "./tasks/service.ts";
import { transferService } from "./transfer/service.ts";
import { version } from "./version.ts";

export interface ContainerdOptions {
  /** Persistent: metadata, content, snapshots. */
  root: string;
  /** Runtime: bundles, runtimes' state. */
  state: string;
  /** The socket that will be served, which shims of their own are told; default `<state>/containerd.sock`. */
  address?: string;
  shims?: {
    /** Runtimes that are not to be run in this process although they could be: `io.containerd.runc.v2` by its own shim. */
    external?: readonly string[];
    /** `NAME=value` for shims' programs. */
    env?: readonly string[];
    debug?: boolean;
  };
}

/** A containerd in this process; give `services` to `inProcess()` or to `serve()`. */
export interface Containerd {
  readonly services: InProcessServices;
  /** Stops the daemon's own work; containers and their monitors go on. */
  close(): Promise<void>;
}

/** Opens root and state, finds again what a previous daemon left running, and answers calls from then on. */
export async function openContainerd(options: ContainerdOptions): Promise<Containerd> {
  const { root, state } = options;
  mkdirSync(root, { recursive: true, mode: 0o711 });
  mkdirSync(state, { recursive: true, mode: 0o711 });
  await using undo = new Cleanup();
  const lockFile = await lockRoot(root);
  undo.add("unlock root", () => closeSync(lockFile));
  const metadata = new Metadata(join(root, "meta.db"));
  undo.add("close metadata", () => metadata[Symbol.dispose]());
  const store = await openContentStore(join(root, "io.containerd.content.v1.content"));
  undo.add("close content store", () => store.close());
  const lock = new SharedLock();
  const snapshotters = new Map<string, NamespacedSnapshots>();
  for (const backend of await openSnapshotters(root)) {
    undo.add(`close snapshotter ${backend.name}`, () => backend.close());
    snapshotters.set(backend.name, new NamespacedSnapshots(metadata, backend, lock));
  }
  const exchange = new Exchange();
  const content = new NamespacedContent(metadata, store, lock);
  const collector = new Collector(metadata, content, snapshotters, lock, (namespace, name) =>
    exchange.publish(namespace, "/images/delete", ImageDeleteSchema, { name }),
  );
  const containers = new ContainerStore(metadata);
  const shim = new Shim({
    state,
    publish: (namespace, topic, event) => exchange.publishAny(namespace, topic, event),
  });
  const external = new ExternalShims({
    bundles: shim.bundles,
    root,
    address: options.address ?? join(state, "containerd.sock"),
    exchange,
    runtimes: new Set(options.shims?.external),
    env: options.shims?.env ?? [],
    debug: options.shims?.debug ?? false,
  });
  const collect = () => collector.schedule();
  const streams = new Streams();
  const sandboxes = new SandboxStore(metadata);
  const services: InProcessServices = new Map<string, Readonly<Record<string, unknown>>>([
    [Containers.typeName, { ...containersService(containers, exchange, collect) }],
    [Content.typeName, { ...contentService(content, exchange, collect) }],
    [Diff.typeName, { ...diffService(content) }],
    [Events.typeName, { ...eventsService(exchange) }],
    [Images.typeName, { ...imagesService(metadata, exchange, collector) }],
    [
      Introspection.typeName,
      { ...introspectionService(metadata, [...snapshotters.keys()], (name) => external.isOwn(name)) },
    ],
    [Leases.typeName, { ...leasesService(metadata, collector) }],
    [Namespaces.typeName, { ...namespacesService(metadata, exchange) }],
    [Snapshots.typeName, { ...snapshotsService(snapshotters, exchange) }],
    [
      Controller.typeName,
      { ...sandboxControllerService(sandboxes, exchange, (name) => external.isOwn(name)) },
    ],
    [Store.typeName, { ...sandboxStoreService(sandboxes) }],
    [Streaming.typeName, { ...streamingService(streams) }],
    [
      Transfer.typeName,
      { ...transferService(streams, (namespace): ContainerdClient => inProcess(services, namespace)) },
    ],
    [Tasks.typeName, { ...tasksService(containers, shim, external, content) }],
    [Version.typeName, { version: () => ({ version, revision: "corten" }) }],
  ]);
  await shim.reconcile();
  await external.reconcile();
  await collector.repair();
  exchange.started();
  collector.schedule();
  undo.release();
  return {
    services,
    async close() {
      collector.close();
      await shim.close();
      await external.close();
      await lock.exclusive(async () => {
        await store.close();
        for (const { backend } of snapshotters.values()) await backend.close();
        metadata[Symbol.dispose]();
      });
      closeSync(lockFile);
    },
  };
}

/** A snapshotter this machine cannot have (overlayfs on some filesystems) is left out with a warning. */
async function openSnapshotters(root: string): Promise<Snapshotter[]> {
  const opened: Snapshotter[] = [];
  const kinds = { overlayfs: openOverlayfs, native: openNative };
  for (const [name, open] of Object.entries(kinds)) {
    try {
      opened.push(await open(join(root, `io.containerd.snapshotter.v1.${name}`)));
    } catch (error) {
      log.warn(`snapshotter ${name} is not available`, { error: messageOf(error) });
    }
  }
  return opened;
}
