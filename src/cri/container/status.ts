import { create, toJson } from "@bufbuild/protobuf";
import { ImageSpecSchema, Signal } from "../../../proto/gen/runtime/v1/common_pb.ts";
import { ContainerConfigSchema } from "../../../proto/gen/runtime/v1/container_config_pb.ts";
import {
  type ContainerFilter,
  type Container as ContainerItem,
  ContainerSchema,
  ContainerState,
  type ContainerStatus,
  ContainerStatusSchema,
} from "../../../proto/gen/runtime/v1/container_pb.ts";
import type { Context } from "../context.ts";
import type { Container, Records } from "../records.ts";
import { matchesLabels } from "../sandbox/status.ts";

export function stateOf({ record }: Container): ContainerState {
  switch (record.state) {
    case "running":
      return ContainerState.CONTAINER_RUNNING;
    case "exited":
    case "removing":
      return ContainerState.CONTAINER_EXITED;
    default:
      return ContainerState.CONTAINER_CREATED;
  }
}

export function containerStatus(container: Container): ContainerStatus {
  const { record, config } = container;
  const exited = stateOf(container) === ContainerState.CONTAINER_EXITED;
  return create(ContainerStatusSchema, {
    id: record.id,
    ...(config.metadata ? { metadata: config.metadata } : {}),
    state: stateOf(container),
    createdAt: BigInt(record.createdAt),
    startedAt: BigInt(record.startedAt),
    finishedAt: BigInt(record.finishedAt),
    exitCode: record.exitCode,
    image: imageSpecOf(container),
    imageRef: record.imageRef,
    imageId: record.imageId,
    // The reason of an end without one of its own.
    reason: exited ? record.reason || (record.exitCode === 0 ? "Completed" : "Error") : "",
    message: record.message,
    labels: config.labels,
    annotations: config.annotations,
    mounts: config.mounts,
    logPath: record.logPath,
    ...(container.resources ? { resources: { linux: container.resources } } : {}),
    user: {
      linux: {
        uid: BigInt(record.user.uid),
        gid: BigInt(record.user.gid),
        supplementalGroups: record.user.additionalGids.map(BigInt),
      },
    },
    stopSignal: signalOf(record.stopSignal),
  });
}

/** The image as it was asked for, by its name where the request had only the id. */
const imageSpecOf = ({ config, record }: Container) =>
  create(ImageSpecSchema, {
    annotations: config.image?.annotations ?? {},
    userSpecifiedImage: config.image?.userSpecifiedImage ?? "",
    runtimeHandler: config.image?.runtimeHandler ?? "",
    image: config.image?.userSpecifiedImage || config.image?.image || record.imageRef,
  });

function signalOf(name: string): Signal {
  const value = Signal[name as keyof typeof Signal];
  return typeof value === "number" ? value : Signal.RUNTIME_DEFAULT;
}

export function containerItem(container: Container): ContainerItem {
  const { record, config } = container;
  return create(ContainerSchema, {
    id: record.id,
    podSandboxId: record.sandboxId,
    ...(config.metadata ? { metadata: config.metadata } : {}),
    ...(config.image ? { image: config.image } : {}),
    imageRef: record.imageRef,
    imageId: record.imageId,
    state: stateOf(container),
    createdAt: BigInt(record.createdAt),
    labels: config.labels,
    annotations: config.annotations,
  });
}

export function listContainers(records: Records, filter: ContainerFilter | undefined): Container[] {
  return records.containers
    .all()
    .filter(({ record }) => record.state !== "making")
    .filter((container) => {
      if (!filter) return true;
      if (filter.id !== "" && !container.record.id.startsWith(filter.id)) return false;
      if (filter.podSandboxId !== "" && !container.record.sandboxId.startsWith(filter.podSandboxId))
        return false;
      if (filter.state && filter.state.state !== stateOf(container)) return false;
      return matchesLabels(container.config.labels, filter.labelSelector);
    });
}

/** What `crictl inspect` shows besides the status: a JSON document under "info". */
export async function containerInfo(
  context: Context,
  { record, config }: Container,
): Promise<Record<string, string>> {
  const found = await context.engine.made(record.id).catch(() => undefined);
  return {
    info: JSON.stringify({
      sandboxID: record.sandboxId,
      pid: record.pid,
      removing: record.state === "removing",
      snapshotKey: record.id,
      snapshotter: record.snapshotter,
      runtimeType: found?.runtimeType ?? "",
      config: toJson(ContainerConfigSchema, config),
      runtimeSpec: found?.spec ?? null,
    }),
  };
}
