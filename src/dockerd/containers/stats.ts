import { readFileSync } from "node:fs";
import { MetricsSchema as MetricsV1 } from "../../../proto/gen/io/containerd/cgroups/v1/metrics_pb.ts";
import { MetricsSchema as MetricsV2 } from "../../../proto/gen/io/containerd/cgroups/v2/metrics_pb.ts";
import { unpackAny } from "../../containerd/client/index.ts";
import type { ContainerStats, CpuStats } from "../../engine/types.ts";
import type { Container } from "../container/container.ts";
import type { Daemon, Handler } from "../daemon.ts";
import { never, now } from "../time.ts";

const second = 1000;

/** `GET /containers/{id}/stats?stream=&one-shot=`: an object each second. */
export const stats: Handler = async ({ daemon, params, query, reply, signal }) => {
  const container = daemon.containers.get(params["id"]!);
  const stream = query.bool("stream", true);
  const out = reply.stream(200, "application/json");
  let before: ContainerStats | undefined;
  if (!stream && !query.bool("one-shot")) {
    before = await sample(daemon, container);
    await pause(second, signal);
  }
  while (!signal.aborted && daemon.containers.byId(container.id)) {
    const stats = await sample(daemon, container);
    if (before) {
      stats.precpu_stats = before.cpu_stats;
      stats.preread = before.read;
    }
    if (!(await out.write(`${JSON.stringify(stats)}\n`))) break;
    before = stats;
    if (!stream) break;
    await pause(second, signal);
  }
  out.end();
};

const pause = (milliseconds: number, signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    const timer = setTimeout(done, milliseconds);
    function done() {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
    signal.addEventListener("abort", done);
  });

const noCpu = (): CpuStats => ({
  cpu_usage: { total_usage: 0, usage_in_kernelmode: 0, usage_in_usermode: 0 },
  throttling_data: { periods: 0, throttled_periods: 0, throttled_time: 0 },
});

function empty(container: Container): ContainerStats {
  return {
    name: `/${container.name}`,
    id: container.id,
    read: never,
    preread: never,
    pids_stats: {},
    blkio_stats: {
      io_service_bytes_recursive: null,
      io_serviced_recursive: null,
      io_queue_recursive: null,
      io_service_time_recursive: null,
      io_wait_time_recursive: null,
      io_merged_recursive: null,
      io_time_recursive: null,
      sectors_recursive: null,
    },
    num_procs: 0,
    storage_stats: {},
    cpu_stats: noCpu(),
    precpu_stats: noCpu(),
    memory_stats: {},
  };
}

/** One reading; of a container that does not run an empty one. */
async function sample(daemon: Daemon, container: Container): Promise<ContainerStats> {
  const stats = empty(container);
  if (!container.state.running || container.state.restarting) return stats;
  const { metrics } = await daemon.containerd.tasks.metrics({ filters: [`id==${container.id}`] });
  const data = metrics.find((metric) => metric.id === container.id)?.data;
  stats.read = now();
  const v1 = unpackAny(MetricsV1, data);
  const v2 = v1 ? undefined : unpackAny(MetricsV2, data);
  if (v1) {
    stats.pids_stats = counted(v1.pids?.current, v1.pids?.limit);
    const cpu = stats.cpu_stats;
    cpu.cpu_usage = {
      total_usage: Number(v1.cpu?.usage?.total ?? 0),
      percpu_usage: v1.cpu?.usage?.perCpu.map(Number) ?? null,
      usage_in_kernelmode: Number(v1.cpu?.usage?.kernel ?? 0),
      usage_in_usermode: Number(v1.cpu?.usage?.user ?? 0),
    };
    cpu.throttling_data = {
      periods: Number(v1.cpu?.throttling?.periods ?? 0),
      throttled_periods: Number(v1.cpu?.throttling?.throttledPeriods ?? 0),
      throttled_time: Number(v1.cpu?.throttling?.throttledTime ?? 0),
    };
    const memory = v1.memory;
    if (memory)
      stats.memory_stats = {
        usage: Number(memory.usage?.usage ?? 0),
        max_usage: Number(memory.usage?.max ?? 0),
        failcnt: Number(memory.usage?.failcnt ?? 0),
        limit: boundedLimit(memory.usage?.limit),
        stats: {
          cache: Number(memory.cache),
          rss: Number(memory.rss),
          mapped_file: Number(memory.mappedFile),
          pgfault: Number(memory.pgFault),
          pgmajfault: Number(memory.pgMajFault),
          inactive_anon: Number(memory.inactiveAnon),
          active_anon: Number(memory.activeAnon),
          inactive_file: Number(memory.inactiveFile),
          active_file: Number(memory.activeFile),
          total_inactive_file: Number(memory.totalInactiveFile),
          total_cache: Number(memory.totalCache),
          total_rss: Number(memory.totalRss),
        },
      };
    stats.blkio_stats.io_service_bytes_recursive = (v1.blkio?.ioServiceBytesRecursive ?? []).map(entryOf);
    stats.blkio_stats.io_serviced_recursive = (v1.blkio?.ioServicedRecursive ?? []).map(entryOf);
  } else if (v2) {
    stats.pids_stats = counted(v2.pids?.current, v2.pids?.limit);
    stats.cpu_stats.cpu_usage = {
      total_usage: Number(v2.cpu?.usageUsec ?? 0) * 1000,
      usage_in_kernelmode: Number(v2.cpu?.systemUsec ?? 0) * 1000,
      usage_in_usermode: Number(v2.cpu?.userUsec ?? 0) * 1000,
    };
    stats.cpu_stats.throttling_data = {
      periods: Number(v2.cpu?.nrPeriods ?? 0),
      throttled_periods: Number(v2.cpu?.nrThrottled ?? 0),
      throttled_time: Number(v2.cpu?.throttledUsec ?? 0) * 1000,
    };
    stats.memory_stats = {
      usage: Number(v2.memory?.usage ?? 0),
      limit: boundedLimit(v2.memory?.usageLimit),
      stats: {
        anon: Number(v2.memory?.anon ?? 0),
        file: Number(v2.memory?.file ?? 0),
        inactive_file: Number(v2.memory?.inactiveFile ?? 0),
        pgfault: Number(v2.memory?.pgfault ?? 0),
        pgmajfault: Number(v2.memory?.pgmajfault ?? 0),
      },
    };
  }
  stats.cpu_stats.system_cpu_usage = systemCpu();
  stats.cpu_stats.online_cpus = navigator.hardwareConcurrency;
  const networks = daemon.networks.statistics(container.id);
  if (Object.keys(networks).length > 0) stats.networks = networks;
  return stats;
}

const counted = (current: bigint | undefined, limit: bigint | undefined) => ({
  ...(current === undefined ? {} : { current: Number(current) }),
  ...(limit === undefined || limit === 0n ? {} : { limit: Number(limit) }),
});

const entryOf = (entry: { major: bigint; minor: bigint; op: string; value: bigint }) => ({
  major: Number(entry.major),
  minor: Number(entry.minor),
  op: entry.op.toLowerCase(),
  value: Number(entry.value),
});

/** A cgroup without a limit has the machine's. */
function boundedLimit(limit: bigint | undefined): number {
  const total = memoryTotal();
  return limit === undefined || limit === 0n || Number(limit) > total ? total : Number(limit);
}

export function memoryTotal(): number {
  return Number(/^MemTotal:\s+(\d+) kB/m.exec(readFileSync("/proc/meminfo", "utf8"))?.[1] ?? 0) * 1024;
}

/** Nanoseconds of processor time the whole machine has spent; a tick is a hundredth of a second. */
function systemCpu(): number {
  const line = readFileSync("/proc/stat", "utf8").split("\n", 1)[0]!;
  const ticks = line.trim().split(/\s+/).slice(1, 8).map(Number);
  return ticks.reduce((sum, value) => sum + value, 0) * 10_000_000;
}
