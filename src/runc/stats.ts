import { conflict } from "../base/errors.ts";
import { type CgroupStats, readStats } from "../sys/cgroup/index.ts";
import { readState, statusOf } from "./state-store.ts";

/** The counters of a running container's cgroups. */
export function stats(root: string, id: string): CgroupStats {
  const state = readState(root, id);
  if (statusOf(root, state) === "stopped") throw conflict(`container with id ${id} is not running`);
  return readStats(state.cgroupPaths);
}

/** The shape of `runc events --stats`: its field names, and no field for what is zero where runc leaves it out. */
export function statsReport(stats: CgroupStats): object {
  const some = (value: number) => (value === 0 ? undefined : value);
  const memory = ({ limit, usage, max, failures }: CgroupStats["memory"]["usage"]) => ({
    limit,
    usage: some(usage),
    max: some(max),
    failcnt: failures,
  });
  const io = (entries: CgroupStats["blockIo"]["serviced"]) =>
    entries.length === 0
      ? undefined
      : entries.map(({ major, minor, operation, value }) => ({
          major: some(major),
          minor: some(minor),
          op: operation,
          value: some(value),
        }));
  const { cpu, pids, blockIo, hugetlb } = stats;
  return {
    cpu: {
      usage: {
        total: some(cpu.total),
        percpu: cpu.perCpu.length > 0 ? cpu.perCpu : undefined,
        kernel: cpu.kernel,
        user: cpu.user,
      },
      throttling: {
        periods: some(cpu.throttling.periods),
        throttledPeriods: some(cpu.throttling.throttledPeriods),
        throttledTime: some(cpu.throttling.throttledTime),
      },
    },
    cpuset: {},
    memory: {
      cache: some(stats.memory.cache),
      usage: memory(stats.memory.usage),
      swap: memory(stats.memory.swap),
      kernel: memory(stats.memory.kernel),
      kernelTCP: memory(stats.memory.kernelTcp),
      raw: stats.memory.raw,
    },
    pids: { current: some(pids.current), limit: some(pids.limit) },
    blkio: { ioServiceBytesRecursive: io(blockIo.serviceBytes), ioServicedRecursive: io(blockIo.serviced) },
    hugetlb: Object.fromEntries(
      Object.entries(hugetlb).map(([size, { usage, max, failures }]) => [
        size,
        { usage: some(usage), max: some(max), failcnt: failures },
      ]),
    ),
    intel_rdt: {},
    network_interfaces: null,
  };
}
