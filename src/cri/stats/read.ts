/** Statistics of pods and containers, each out of the files of its own cgroups. */
import { create } from "@bufbuild/protobuf";
import {
  type ContainerStats,
  ContainerStatsSchema,
  type PodSandboxStats,
  PodSandboxStatsSchema,
} from "../../../proto/gen/runtime/v1/stats_pb.ts";
import { runsInMachine, runtimeNamed } from "../config.ts";
import type { Context } from "../context.ts";
import { type Container, nowNanoseconds, type Sandbox } from "../records.ts";
import { CgroupSamples, defined, figures, networkOf, pathFor, type Sample } from "./samples.ts";

/** The writable layer is counted by walking it. */
const layerMaxAge = 10_000;

export class StatsReader {
  readonly #samples = new CgroupSamples();
  readonly #layers = new Map<string, { at: number; size: bigint; inodes: bigint }>();
  readonly #context: Context;

  constructor(context: Context) {
    this.#context = context;
  }

  async container(container: Container): Promise<ContainerStats> {
    const { record, config } = container;
    const sample = record.state === "running" ? await this.#sample(container) : undefined;
    const layer = await this.#layer(container);
    return create(ContainerStatsSchema, {
      attributes: {
        id: record.id,
        ...(config.metadata ? { metadata: config.metadata } : {}),
        labels: config.labels,
        annotations: config.annotations,
      },
      ...(sample ? defined(figures(sample)) : {}),
      writableLayer: {
        timestamp: BigInt(nowNanoseconds()),
        fsId: { mountpoint: await this.#context.engine.layersRoot(record.snapshotter) },
        usedBytes: { value: layer.size },
        inodesUsed: { value: layer.inodes },
      },
    });
  }

  #sample(container: Container): Sample | undefined | Promise<Sample | undefined> {
    const { engine, config, records } = this.#context;
    const { sandboxId, cgroupsPath } = container.record;
    const path = pathFor(cgroupsPath);
    const handler = records.sandboxes.find(sandboxId)?.record.runtimeHandler ?? "";
    if (!engine.counters || !runsInMachine(runtimeNamed(config, handler))) return this.#samples.read(path);
    return this.#samples.ask(path, () => engine.counters!(container));
  }

  async #layer({ record }: Container): Promise<{ size: bigint; inodes: bigint }> {
    const before = this.#layers.get(record.id);
    if (before && Date.now() - before.at < layerMaxAge) return before;
    const usage = await this.#context.engine.usage(record).catch(() => ({ size: 0n, inodes: 0n }));
    const layer = { at: Date.now(), size: usage.size, inodes: usage.inodes };
    this.#layers.set(record.id, layer);
    return layer;
  }

  async pod(sandbox: Sandbox): Promise<PodSandboxStats> {
    const { record, config } = sandbox;
    const containers = this.#context.records
      .containersOf(record.id)
      .filter((container) => container.record.state === "running");
    const stats = await Promise.all(containers.map((container) => this.container(container)));
    const parent = config.linux?.cgroupParent;
    const sample = record.state === "ready" && parent ? this.#samples.read(pathFor(parent)) : undefined;
    const own = sample ? figures(sample) : undefined;
    const timestamp = BigInt(nowNanoseconds());
    const network = networkOf(record.namespaces.net);
    return create(PodSandboxStatsSchema, {
      attributes: {
        id: record.id,
        ...(config.metadata ? { metadata: config.metadata } : {}),
        labels: config.labels,
        annotations: config.annotations,
      },
      linux: {
        ...(own ? { cpu: own.cpu, memory: own.memory, ...(own.io ? { io: own.io } : {}) } : {}),
        ...(network ? { network: { timestamp, ...network } } : {}),
        ...(sample
          ? { process: { timestamp, processCount: { value: BigInt(sample.stats.pids.current) } } }
          : {}),
        containers: stats,
      },
    });
  }

  /** What is gone is forgotten. */
  forget(id: string, cgroupsPath: string): void {
    this.#layers.delete(id);
    this.#samples.forget(pathFor(cgroupsPath));
  }
}
