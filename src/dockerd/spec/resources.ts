import { invalid } from "../../base/errors.ts";
import type { Resources } from "../../engine/types.ts";
import type {
  LinuxBlockIO,
  LinuxCPU,
  LinuxMemory,
  LinuxResources,
  LinuxThrottleDevice,
  PosixRlimit,
} from "../../oci/runtime-spec.ts";
import type { DeviceFacts } from "./devices.ts";

/** The cgroup part of a spec, except for devices. `facts` finds the numbers of block devices. */
export function resourcesOf(
  host: Pick<
    Resources,
    | "Memory"
    | "MemorySwap"
    | "MemoryReservation"
    | "MemorySwappiness"
    | "OomKillDisable"
    | "NanoCpus"
    | "CpuShares"
    | "CpuPeriod"
    | "CpuQuota"
    | "CpuRealtimePeriod"
    | "CpuRealtimeRuntime"
    | "CpusetCpus"
    | "CpusetMems"
    | "PidsLimit"
    | "BlkioWeight"
    | "BlkioWeightDevice"
    | "BlkioDeviceReadBps"
    | "BlkioDeviceWriteBps"
    | "BlkioDeviceReadIOps"
    | "BlkioDeviceWriteIOps"
  >,
  facts: DeviceFacts,
): LinuxResources {
  const memory: LinuxMemory = {};
  if (host.Memory > 0) memory.limit = host.Memory;
  if (host.MemoryReservation > 0) memory.reservation = host.MemoryReservation;
  if (host.MemorySwap !== 0) memory.swap = host.MemorySwap;
  if (host.MemorySwappiness !== null && host.MemorySwappiness >= 0) memory.swappiness = host.MemorySwappiness;
  if (host.OomKillDisable !== null && host.OomKillDisable !== undefined)
    memory.disableOOMKiller = host.OomKillDisable;

  const cpu: LinuxCPU = {};
  if (host.CpuShares > 0) cpu.shares = host.CpuShares;
  if (host.CpusetCpus !== "") cpu.cpus = host.CpusetCpus;
  if (host.CpusetMems !== "") cpu.mems = host.CpusetMems;
  if (host.NanoCpus > 0) {
    // 100 ms of period, as the kernel's default; quota is the share of it in microseconds.
    cpu.period = 100_000;
    cpu.quota = Math.floor((host.NanoCpus * 100_000) / 1e9);
  }
  if (host.CpuPeriod !== 0) cpu.period = host.CpuPeriod;
  if (host.CpuQuota !== 0) cpu.quota = host.CpuQuota;
  if (host.CpuRealtimePeriod !== 0) cpu.realtimePeriod = host.CpuRealtimePeriod;
  if (host.CpuRealtimeRuntime !== 0) cpu.realtimeRuntime = host.CpuRealtimeRuntime;

  const blockIO: LinuxBlockIO = {};
  if (host.BlkioWeight > 0) blockIO.weight = host.BlkioWeight;
  const weights = (host.BlkioWeightDevice ?? []).map((entry) => ({
    ...blockDevice(entry.Path, facts),
    weight: entry.Weight,
  }));
  if (weights.length > 0) blockIO.weightDevice = weights;
  const throttle = (list: Resources["BlkioDeviceReadBps"]): LinuxThrottleDevice[] | undefined =>
    list && list.length > 0
      ? list.map((entry) => ({ ...blockDevice(entry.Path, facts), rate: entry.Rate }))
      : undefined;
  const readBps = throttle(host.BlkioDeviceReadBps);
  if (readBps) blockIO.throttleReadBpsDevice = readBps;
  const writeBps = throttle(host.BlkioDeviceWriteBps);
  if (writeBps) blockIO.throttleWriteBpsDevice = writeBps;
  const readIops = throttle(host.BlkioDeviceReadIOps);
  if (readIops) blockIO.throttleReadIOPSDevice = readIops;
  const writeIops = throttle(host.BlkioDeviceWriteIOps);
  if (writeIops) blockIO.throttleWriteIOPSDevice = writeIops;

  const resources: LinuxResources = {};
  if (Object.keys(memory).length > 0) resources.memory = memory;
  if (Object.keys(cpu).length > 0) resources.cpu = cpu;
  if (Object.keys(blockIO).length > 0) resources.blockIO = blockIO;
  // 0 and -1 are "no limit" for Docker; the specification has no entry for that.
  if (host.PidsLimit !== null && host.PidsLimit > 0) resources.pids = { limit: host.PidsLimit };
  return resources;
}

function blockDevice(path: string, facts: DeviceFacts): { major: number; minor: number } {
  const found = facts(path);
  if (found?.type !== "b") throw invalid(`no such block device: ${path}`);
  return { major: found.major, minor: found.minor };
}

const rlimitNames = new Set(
  "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack".split(
    " ",
  ),
);

/** `--ulimit` with the daemon's defaults below it. */
export function rlimitsOf(
  ulimits: Resources["Ulimits"],
  defaults: Record<string, { soft: number; hard: number }>,
): PosixRlimit[] {
  const wanted = new Map<string, { soft: number; hard: number }>();
  for (const { Name, Soft, Hard } of ulimits ?? []) wanted.set(Name, { soft: Soft, hard: Hard });
  for (const [name, limit] of Object.entries(defaults)) if (!wanted.has(name)) wanted.set(name, limit);
  return [...wanted].map(([name, { soft, hard }]) => {
    if (!rlimitNames.has(name)) throw invalid(`invalid ulimit type: ${name}`);
    if (hard !== -1 && (soft > hard || soft === -1))
      throw invalid(`ulimit soft limit must be less than or equal to hard limit: ${soft} > ${hard}`);
    return { type: `RLIMIT_${name.toUpperCase()}`, hard: unlimited(hard), soft: unlimited(soft) };
  });
}

/** RLIM_INFINITY does not fit a number exactly; runtimes read any value at the top of the range as it. */
const unlimited = (value: number) => (value === -1 ? 2 ** 64 : value);
