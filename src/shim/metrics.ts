import type { Any } from "@bufbuild/protobuf/wkt";
import { MetricsSchema as MetricsV1 } from "../../proto/gen/io/containerd/cgroups/v1/metrics_pb.ts";
import { MetricsSchema as MetricsV2 } from "../../proto/gen/io/containerd/cgroups/v2/metrics_pb.ts";
import type { CgroupStats } from "../sys/cgroup/index.ts";
import { packAny } from "./typeurl.ts";

const largest = 2n ** 64n - 1n;

/** Counters are doubles on our side; "unlimited" is a little above what a uint64 holds. */
function u64(value: number | undefined): bigint {
  if (value === undefined || !(value > 0)) return 0n;
  const big = BigInt(Math.trunc(value));
  return big > largest ? largest : big;
}

/** Counters as containerd's clients decode them: one message for cgroup v1 (and hybrid), another for v2. */
export function packMetrics(stats: CgroupStats, unified: boolean): Any {
  return unified ? packAny(MetricsV2, v2(stats)) : packAny(MetricsV1, v1(stats));
}

function v1({ cpu, memory, pids, blockIo }: CgroupStats) {
  const { raw } = memory;
  const counter = ({ usage, max, failures, limit }: CgroupStats["memory"]["usage"]) => ({
    usage: u64(usage),
    max: u64(max),
    failcnt: u64(failures),
    limit: u64(limit),
  });
  const io = (entries: CgroupStats["blockIo"]["serviced"]) =>
    entries.map(({ major, minor, operation, value }) => ({
      op: operation,
      major: u64(major),
      minor: u64(minor),
      value: u64(value),
    }));
  return {
    pids: { current: u64(pids.current), limit: u64(pids.limit) },
    cpu: {
      usage: {
        total: u64(cpu.total),
        kernel: u64(cpu.kernel),
        user: u64(cpu.user),
        perCpu: cpu.perCpu.map(u64),
      },
      throttling: {
        periods: u64(cpu.throttling.periods),
        throttledPeriods: u64(cpu.throttling.throttledPeriods),
        throttledTime: u64(cpu.throttling.throttledTime),
      },
    },
    memory: {
      cache: u64(raw["cache"]),
      rss: u64(raw["rss"]),
      rssHuge: u64(raw["rss_huge"]),
      mappedFile: u64(raw["mapped_file"]),
      dirty: u64(raw["dirty"]),
      writeback: u64(raw["writeback"]),
      pgPgIn: u64(raw["pgpgin"]),
      pgPgOut: u64(raw["pgpgout"]),
      pgFault: u64(raw["pgfault"]),
      pgMajFault: u64(raw["pgmajfault"]),
      inactiveAnon: u64(raw["inactive_anon"]),
      activeAnon: u64(raw["active_anon"]),
      inactiveFile: u64(raw["inactive_file"]),
      activeFile: u64(raw["active_file"]),
      unevictable: u64(raw["unevictable"]),
      hierarchicalMemoryLimit: u64(raw["hierarchical_memory_limit"]),
      hierarchicalSwapLimit: u64(raw["hierarchical_memsw_limit"]),
      totalCache: u64(raw["total_cache"]),
      totalRss: u64(raw["total_rss"]),
      totalRssHuge: u64(raw["total_rss_huge"]),
      totalMappedFile: u64(raw["total_mapped_file"]),
      totalDirty: u64(raw["total_dirty"]),
      totalWriteback: u64(raw["total_writeback"]),
      totalPgPgIn: u64(raw["total_pgpgin"]),
      totalPgPgOut: u64(raw["total_pgpgout"]),
      totalPgFault: u64(raw["total_pgfault"]),
      totalPgMajFault: u64(raw["total_pgmajfault"]),
      totalInactiveAnon: u64(raw["total_inactive_anon"]),
      totalActiveAnon: u64(raw["total_active_anon"]),
      totalInactiveFile: u64(raw["total_inactive_file"]),
      totalActiveFile: u64(raw["total_active_file"]),
      totalUnevictable: u64(raw["total_unevictable"]),
      usage: counter(memory.usage),
      swap: counter(memory.swap),
      kernel: counter(memory.kernel),
      kernelTcp: counter(memory.kernelTcp),
    },
    blkio: {
      ioServiceBytesRecursive: io(blockIo.serviceBytes),
      ioServicedRecursive: io(blockIo.serviced),
    },
    memoryOomControl: { oomKill: u64(memory.oomKills) },
  };
}

function v2({ cpu, memory, pids, blockIo }: CgroupStats) {
  const { raw } = memory;
  const micro = (nanoseconds: number) => u64(nanoseconds / 1000);
  const devices = new Map<string, Record<"rbytes" | "wbytes" | "rios" | "wios", bigint>>();
  const device = (major: number, minor: number) => {
    const key = `${major}:${minor}`;
    const entry = devices.get(key) ?? { rbytes: 0n, wbytes: 0n, rios: 0n, wios: 0n };
    devices.set(key, entry);
    return entry;
  };
  for (const { major, minor, operation, value } of blockIo.serviceBytes)
    device(major, minor)[operation === "Read" ? "rbytes" : "wbytes"] = u64(value);
  for (const { major, minor, operation, value } of blockIo.serviced)
    device(major, minor)[operation === "Read" ? "rios" : "wios"] = u64(value);
  return {
    pids: { current: u64(pids.current), limit: u64(pids.limit) },
    cpu: {
      usageUsec: micro(cpu.total),
      userUsec: micro(cpu.user),
      systemUsec: micro(cpu.kernel),
      nrPeriods: u64(cpu.throttling.periods),
      nrThrottled: u64(cpu.throttling.throttledPeriods),
      throttledUsec: micro(cpu.throttling.throttledTime),
    },
    memory: {
      anon: u64(raw["anon"]),
      file: u64(raw["file"]),
      kernelStack: u64(raw["kernel_stack"]),
      slab: u64(raw["slab"]),
      sock: u64(raw["sock"]),
      shmem: u64(raw["shmem"]),
      fileMapped: u64(raw["file_mapped"]),
      fileDirty: u64(raw["file_dirty"]),
      fileWriteback: u64(raw["file_writeback"]),
      anonThp: u64(raw["anon_thp"]),
      inactiveAnon: u64(raw["inactive_anon"]),
      activeAnon: u64(raw["active_anon"]),
      inactiveFile: u64(raw["inactive_file"]),
      activeFile: u64(raw["active_file"]),
      unevictable: u64(raw["unevictable"]),
      slabReclaimable: u64(raw["slab_reclaimable"]),
      slabUnreclaimable: u64(raw["slab_unreclaimable"]),
      pgfault: u64(raw["pgfault"]),
      pgmajfault: u64(raw["pgmajfault"]),
      usage: u64(memory.usage.usage),
      usageLimit: u64(memory.usage.limit),
      maxUsage: u64(memory.usage.max),
      // CgroupStats counts memory and swap together, as v1 does; this message does not.
      swapUsage: u64(memory.swap.usage - memory.usage.usage),
      swapLimit: memory.swap.limit >= 2 ** 64 - 1 ? largest : u64(memory.swap.limit - memory.usage.limit),
    },
    io: {
      usage: [...devices].map(([key, counters]) => {
        const [major = "0", minor = "0"] = key.split(":");
        return { major: BigInt(major), minor: BigInt(minor), ...counters };
      }),
    },
    memoryEvents: { max: u64(memory.usage.failures), oomKill: u64(memory.oomKills) },
  };
}
