/** Figures of pods and containers, each out of the files of its own cgroups, read once a second at most. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type ContainerStats,
  ContainerStatsSchema,
  type PodSandboxStats,
  PodSandboxStatsSchema,
  type PsiStatsSchema,
} from "../../../proto/gen/runtime/v1/stats_pb.ts";
import { type CgroupStats, cgroupDirectories, cgroupLayout, readStats } from "../../sys/cgroup/index.ts";
import { listLinks } from "../../sys/netlink/link.ts";
import { NETLINK_ROUTE } from "../../sys/netlink/socket.ts";
import { openNetlinkIn } from "../../sys/netns.ts";
import type { Context } from "../context.ts";
import { type Container, nowNanoseconds, type Sandbox } from "../records.ts";

const maxAge = 1000;
/** The writable layer is counted by walking it. */
const layerMaxAge = 10_000;

interface Sample {
  at: bigint;
  cpu: bigint;
  stats: CgroupStats;
  nanoCores: bigint | undefined;
  psi: Partial<Record<"cpu" | "memory" | "io", MessageInitShape<typeof PsiStatsSchema>>>;
}

/** Samples by cgroup, so that a rate can be told and a second question costs nothing. */
export class StatsReader {
  readonly #samples = new Map<string, Sample>();
  readonly #layers = new Map<string, { at: number; size: bigint; inodes: bigint }>();
  readonly #context: Context;

  constructor(context: Context) {
    this.#context = context;
  }

  #sample(cgroupsPath: string): Sample | undefined {
    const before = this.#samples.get(cgroupsPath);
    const at = BigInt(nowNanoseconds());
    if (before && at - before.at < BigInt(maxAge) * 1_000_000n) return before;
    const directories = cgroupDirectories(cgroupLayout(), cgroupsPath);
    if (!Object.values(directories).some((directory) => existsSync(directory))) {
      this.#samples.delete(cgroupsPath);
      return undefined;
    }
    const stats = readStats(directories);
    const cpu = BigInt(Math.round(stats.cpu.total));
    const nanoCores =
      before && cpu >= before.cpu
        ? ((cpu - before.cpu) * 1_000_000_000n) / (at - before.at)
        : before?.nanoCores;
    const unified = directories[""];
    const sample: Sample = { at, cpu, stats, nanoCores, psi: unified ? pressure(unified) : {} };
    this.#samples.set(cgroupsPath, sample);
    return sample;
  }

  async container(container: Container): Promise<ContainerStats> {
    const { record, config } = container;
    const sample = record.state === "running" ? this.#sample(pathFor(record.cgroupsPath)) : undefined;
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
    const sample = record.state === "ready" && parent ? this.#sample(pathFor(parent)) : undefined;
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
    this.#samples.delete(pathFor(cgroupsPath));
  }
}

/** systemd's `slice:prefix:name` as a path below the hierarchies. */
export function pathFor(cgroupsPath: string): string {
  const [slice, prefix, name] = cgroupsPath.split(":");
  if (name === undefined && !cgroupsPath.endsWith(".slice")) return cgroupsPath;
  const parts = slice!
    .split("/")
    .at(-1)!
    .replace(/\.slice$/, "")
    .split("-");
  const nested = parts.map((_, index) => `${parts.slice(0, index + 1).join("-")}.slice`).join("/");
  return name === undefined ? `/${nested}` : `/${nested}/${prefix}-${name}.scope`;
}

function figures({ at: timestamp, stats, cpu, nanoCores, psi }: Sample) {
  const { memory } = stats;
  const raw = memory.raw;
  const value = (number: number | undefined) => ({ value: BigInt(Math.max(0, Math.round(number ?? 0))) });
  const usage = memory.usage.usage;
  const workingSet = Math.max(0, usage - (raw["total_inactive_file"] ?? raw["inactive_file"] ?? 0));
  const limited = memory.usage.limit > 0 && memory.usage.limit < 2 ** 60;
  const swapUsage = Math.max(0, memory.swap.usage - usage);
  const swapLimited = memory.swap.limit > 0 && memory.swap.limit < 2 ** 60 && limited;
  return {
    cpu: {
      timestamp,
      usageCoreNanoSeconds: { value: cpu },
      ...(nanoCores === undefined ? {} : { usageNanoCores: { value: nanoCores } }),
      ...(psi.cpu ? { psi: psi.cpu } : {}),
    },
    memory: {
      timestamp,
      workingSetBytes: value(workingSet),
      usageBytes: value(usage),
      rssBytes: value(raw["total_rss"] ?? raw["anon"]),
      pageFaults: value(raw["total_pgfault"] ?? raw["pgfault"]),
      majorPageFaults: value(raw["total_pgmajfault"] ?? raw["pgmajfault"]),
      ...(limited ? { availableBytes: value(memory.usage.limit - workingSet) } : {}),
      ...(psi.memory ? { psi: psi.memory } : {}),
    },
    swap: {
      timestamp,
      swapUsageBytes: value(memory.swap.usage === 0 ? 0 : swapUsage),
      ...(swapLimited
        ? { swapAvailableBytes: value(memory.swap.limit - memory.usage.limit - swapUsage) }
        : {}),
    },
    io: psi.io ? { timestamp, psi: psi.io } : undefined,
  };
}

const defined = ({ io, ...rest }: ReturnType<typeof figures>) => ({ ...rest, ...(io ? { io } : {}) });

/** Pressure stall information, which only the unified hierarchy has. */
function pressure(directory: string): Sample["psi"] {
  const psi: Sample["psi"] = {};
  for (const kind of ["cpu", "memory", "io"] as const) {
    let text: string;
    try {
      text = readFileSync(join(directory, `${kind}.pressure`), "utf8");
    } catch {
      continue;
    }
    const line = (name: string) => {
      const match = new RegExp(
        `^${name} avg10=([\\d.]+) avg60=([\\d.]+) avg300=([\\d.]+) total=(\\d+)$`,
        "m",
      ).exec(text);
      return match
        ? {
            Avg10: Number(match[1]),
            Avg60: Number(match[2]),
            Avg300: Number(match[3]),
            Total: BigInt(match[4]!),
          }
        : { Total: 0n };
    };
    psi[kind] = { Full: line("full"), Some: line("some") };
  }
  return psi;
}

function networkOf(netns: string | undefined) {
  if (netns === undefined || !existsSync(netns)) return undefined;
  try {
    const socket = openNetlinkIn(netns, NETLINK_ROUTE);
    try {
      const interfaces = listLinks(socket)
        .filter(({ name, counters }) => name !== "lo" && counters)
        .map(({ name, counters }) => ({
          name,
          rxBytes: { value: BigInt(counters!.rxBytes) },
          rxErrors: { value: BigInt(counters!.rxErrors) },
          txBytes: { value: BigInt(counters!.txBytes) },
          txErrors: { value: BigInt(counters!.txErrors) },
        }));
      const eth0 = interfaces.find(({ name }) => name === "eth0");
      return {
        ...(eth0 ? { defaultInterface: eth0 } : {}),
        interfaces: interfaces.filter((entry) => entry !== eth0),
      };
    } finally {
      socket.close();
    }
  } catch {
    // The pod ended while we looked.
    return undefined;
  }
}
