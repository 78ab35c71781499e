/** Figures of pods and containers, out of their cgroups' files; only the writable layer is asked of the daemon. */
import { create } from "@bufbuild/protobuf";
import {
  type ContainerStats,
  ContainerStatsSchema,
  type PodSandboxStats,
  PodSandboxStatsSchema,
} from "../../proto/gen/runtime/v1/stats_pb.ts";
import { CgroupSamples, defined, figures, networkOf, pathFor } from "../cri/stats/samples.ts";
import type { ContainerInspect } from "../engine/types.ts";
import type { Context } from "./context.ts";
import { containersOf, findContainer } from "./find.ts";
import { criLabels } from "./labels.ts";
import { parseName } from "./naming.ts";
import { netnsOf } from "./sandbox/network.ts";
import { cgroupDriverOf, daemonInfo } from "./status.ts";
import { now } from "./times.ts";

/** The daemon counts a layer by walking it. */
const layerMaxAge = 30_000;

interface Known {
  readonly samples: CgroupSamples;
  readonly layers: Map<string, { at: number; size: Promise<number>; bytes: number }>;
}
const known = new WeakMap<Context, Known>();

function knownOf(context: Context): Known {
  const found = known.get(context) ?? { samples: new CgroupSamples(), layers: new Map() };
  known.set(context, found);
  return found;
}

/** Where the daemon puts a container's cgroup, by its driver. */
async function cgroupOf(context: Context, { Id, HostConfig }: ContainerInspect): Promise<string> {
  const parent = HostConfig.CgroupParent;
  if ((await cgroupDriverOf(context)) === "systemd")
    return pathFor(`${parent || "system.slice"}:docker:${Id}`);
  return pathFor(`${parent || "/docker"}/${Id}`);
}

async function layerOf(context: Context, id: string): Promise<number> {
  const { layers } = knownOf(context);
  const before = layers.get(id);
  if (before && Date.now() - before.at < layerMaxAge) return before.size;
  const entry = {
    at: Date.now(),
    size: context.client.containers.inspect(id, true).then(
      ({ SizeRw }) => SizeRw ?? 0,
      () => 0,
    ),
    bytes: before?.bytes ?? 0,
  };
  layers.set(id, entry);
  entry.bytes = await entry.size;
  return entry.bytes;
}

/** What the writable layers that were counted take. */
export const writableLayers = (context: Context): number =>
  [...knownOf(context).layers.values()].reduce((sum, { bytes }) => sum + bytes, 0);

export async function containerStats(context: Context, container: ContainerInspect): Promise<ContainerStats> {
  const sample = container.State.Running
    ? knownOf(context).samples.read(await cgroupOf(context, container))
    : undefined;
  const [bytes, { DockerRootDir }] = await Promise.all([layerOf(context, container.Id), daemonInfo(context)]);
  return create(ContainerStatsSchema, {
    attributes: {
      id: container.Id,
      metadata: parseName(container.Name)!.container,
      ...criLabels(container.Config.Labels),
    },
    ...(sample ? defined(figures(sample)) : {}),
    writableLayer: {
      timestamp: now(),
      fsId: { mountpoint: DockerRootDir },
      usedBytes: { value: BigInt(bytes) },
    },
  });
}

export async function podStats(context: Context, sandbox: ContainerInspect): Promise<PodSandboxStats> {
  const running = (await containersOf(context, sandbox.Id)).filter(({ State }) => State === "running");
  const stats = await Promise.all(
    running.map(async ({ Id }) => {
      const container = await findContainer(context, Id);
      return container && containerStats(context, container);
    }),
  );
  const parent = sandbox.HostConfig.CgroupParent;
  const sample = parent ? knownOf(context).samples.read(pathFor(parent)) : undefined;
  const own = sample ? figures(sample) : undefined;
  const timestamp = now();
  const network = networkOf(netnsOf(sandbox) || undefined);
  return create(PodSandboxStatsSchema, {
    attributes: {
      id: sandbox.Id,
      metadata: parseName(sandbox.Name)!.pod,
      ...criLabels(sandbox.Config.Labels),
    },
    linux: {
      ...(own ? { cpu: own.cpu, memory: own.memory, ...(own.io ? { io: own.io } : {}) } : {}),
      ...(network ? { network: { timestamp, ...network } } : {}),
      ...(sample
        ? { process: { timestamp, processCount: { value: BigInt(sample.stats.pids.current) } } }
        : {}),
      containers: stats.filter((one) => one !== undefined),
    },
  });
}

/** What is gone is forgotten. */
export function forgetStats(context: Context, container: ContainerInspect): void {
  const { layers, samples } = knownOf(context);
  layers.delete(container.Id);
  void cgroupOf(context, container).then(
    (path) => samples.forget(path),
    () => {},
  );
}
