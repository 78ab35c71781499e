import { randomUUID } from "node:crypto";
import { statSync } from "node:fs";
import type { ServiceImpl } from "@connectrpc/connect";
import type { Introspection } from "../../proto/gen/containerd/services/introspection/v1/introspection_pb.ts";
import { notFound, unimplemented } from "../base/errors.ts";
import type { Platform } from "../oci/image-spec.ts";
import { hostPlatform } from "./client/read-image.ts";
import { fields, parseFilters } from "./filters.ts";
import type { Metadata } from "./metadata/metadata.ts";

const services = [
  "containers-service",
  "content-service",
  "diff-service",
  "images-service",
  "introspection-service",
  "leases-service",
  "namespaces-service",
  "snapshots-service",
  "tasks-service",
];

/** What the daemon is made of, in containerd's plugin types: clients look up snapshotters and their platforms. */
export function introspectionService(
  metadata: Metadata,
  snapshotters: readonly string[],
  isOwnRuntime: (runtime: string) => boolean,
): ServiceImpl<typeof Introspection> {
  const { os, architecture, variant = "" }: Platform = hostPlatform();
  const platforms = [{ os, architecture, variant }];
  const ofPlatform = /^io\.containerd\.(?:snapshotter\.v1|differ\.v1|runtime\.v2)$/;
  const plugin = (type: string, id: string, requires: string[] = []) => ({
    type,
    id,
    requires,
    platforms: ofPlatform.test(type) ? platforms : [],
    exports: {} as Record<string, string>,
    capabilities: [] as string[],
  });
  const plugins = [
    plugin("io.containerd.content.v1", "content"),
    ...snapshotters.map((name) => plugin("io.containerd.snapshotter.v1", name)),
    plugin("io.containerd.metadata.v1", "sqlite", [
      "io.containerd.content.v1",
      "io.containerd.snapshotter.v1",
    ]),
    plugin("io.containerd.differ.v1", "walking", ["io.containerd.metadata.v1"]),
    plugin("io.containerd.gc.v1", "scheduler", ["io.containerd.metadata.v1"]),
    plugin("io.containerd.runtime.v2", "task", ["io.containerd.metadata.v1"]),
    ...services.map((name) => plugin("io.containerd.service.v1", name, ["io.containerd.metadata.v1"])),
    ...["containers", "content", "diff", "events", "images", "introspection", "leases", "namespaces"].map(
      (name) => plugin("io.containerd.grpc.v1", name, ["io.containerd.service.v1"]),
    ),
    plugin("io.containerd.sandbox.store.v1", "local", ["io.containerd.metadata.v1"]),
    plugin("io.containerd.sandbox.controller.v1", "shim", ["io.containerd.runtime.v2"]),
    plugin("io.containerd.streaming.v1", "manager", ["io.containerd.metadata.v1"]),
    plugin("io.containerd.transfer.v1", "local", ["io.containerd.metadata.v1", "io.containerd.differ.v1"]),
    ...["sandbox-controllers", "sandboxes"].map((name) =>
      plugin("io.containerd.grpc.v1", name, [
        `io.containerd.sandbox.${name === "sandboxes" ? "store" : "controller"}.v1`,
      ]),
    ),
    ...["snapshots", "tasks", "version"].map((name) =>
      plugin("io.containerd.grpc.v1", name, ["io.containerd.service.v1"]),
    ),
    plugin("io.containerd.grpc.v1", "streaming", ["io.containerd.streaming.v1"]),
    plugin("io.containerd.grpc.v1", "transfer", ["io.containerd.transfer.v1", "io.containerd.streaming.v1"]),
  ];
  return {
    plugins(request) {
      const filter = parseFilters(request.filters);
      return { plugins: plugins.filter(({ type, id }) => filter(fields({ type, id }))) };
    },
    server: () => ({
      uuid: uuidOf(metadata),
      pid: BigInt(process.pid),
      pidns: BigInt(statSync("/proc/self/ns/pid").ino),
    }),
    async pluginInfo({ type, id, options }) {
      const plugin = plugins.find((one) => one.type === type && one.id === id);
      if (!plugin) throw notFound(`plugin ${type}.${id} not found: not found`);
      if (!options) return { plugin };
      if (type !== "io.containerd.runtime.v2")
        throw unimplemented("plugin does not provided extra information: not implemented");
      const { readRuntimeInfo } = await import("./shims/info.ts");
      return { plugin, extra: await readRuntimeInfo(options, isOwnRuntime) };
    },
  };
}

function uuidOf(metadata: Metadata): string {
  metadata.db.run("INSERT OR IGNORE INTO properties VALUES ('uuid', ?)", randomUUID());
  return String(metadata.db.get("SELECT value FROM properties WHERE name = 'uuid'")?.["value"]);
}
