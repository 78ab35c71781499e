/** Counters of a container's cgroups in one shape for v1 and v2; times are nanoseconds. */
import { parseFlatKeyed, readControlIfPresent } from "./files.ts";

export interface CgroupStats {
  cpu: {
    total: number;
    user: number;
    kernel: number;
    /** v1 only. */
    perCpu: number[];
    throttling: { periods: number; throttledPeriods: number; throttledTime: number };
  };
  memory: {
    usage: MemoryCounter;
    swap: MemoryCounter;
    kernel: MemoryCounter;
    kernelTcp: MemoryCounter;
    cache: number;
    /** memory.stat as it is. */
    raw: Record<string, number>;
    oomKills: number;
  };
  /** Limit 0 is none. */
  pids: { current: number; limit: number };
  blockIo: { serviceBytes: IoCounter[]; serviced: IoCounter[] };
  hugetlb: Record<string, { usage: number; max: number; failures: number }>;
}

export interface MemoryCounter {
  usage: number;
  /** Highest usage so far; 0 where the kernel does not tell. */
  max: number;
  failures: number;
  /** As the kernel has it; unlimited is beyond 2^62. */
  limit: number;
}

export interface IoCounter {
  major: number;
  minor: number;
  operation: string;
  value: number;
}

const none: MemoryCounter = { usage: 0, max: 0, failures: 0, limit: 0 };
const unlimited = 2 ** 64 - 1;
const number = (text: string | undefined) =>
  text === undefined ? 0 : text === "max" ? unlimited : Number(text);

/** Reads what there is; a file or controller that is missing counts nothing. */
export function readStats(directories: Readonly<Record<string, string>>): CgroupStats {
  const unified = Object.keys(directories).length === 1 ? directories[""] : undefined;
  return unified ? readUnified(unified) : readV1(directories);
}

function readV1(directories: Readonly<Record<string, string>>): CgroupStats {
  const read = (controller: string, file: string) => {
    const directory = directories[controller];
    return directory ? readControlIfPresent(directory, file) : undefined;
  };
  const flat = (controller: string, file: string) => parseFlatKeyed(read(controller, file) ?? "");
  const throttled = flat("cpu", "cpu.stat");
  // USER_HZ is 100 on every supported architecture.
  const ticks = flat("cpuacct", "cpuacct.stat");
  const raw = flat("memory", "memory.stat");
  const memory = (infix: string): MemoryCounter => {
    const file = (name: string) => read("memory", `memory.${infix}${name}`);
    return {
      usage: number(file("usage_in_bytes")),
      max: number(file("max_usage_in_bytes")),
      failures: number(file("failcnt")),
      limit: number(file("limit_in_bytes")),
    };
  };
  const pidsLimit = read("pids", "pids.max");
  return {
    cpu: {
      total: number(read("cpuacct", "cpuacct.usage")),
      user: (ticks["user"] ?? 0) * 10_000_000,
      kernel: (ticks["system"] ?? 0) * 10_000_000,
      perCpu: (read("cpuacct", "cpuacct.usage_percpu") ?? "").split(" ").filter(Boolean).map(Number),
      throttling: {
        periods: throttled["nr_periods"] ?? 0,
        throttledPeriods: throttled["nr_throttled"] ?? 0,
        throttledTime: throttled["throttled_time"] ?? 0,
      },
    },
    memory: {
      usage: memory(""),
      swap: memory("memsw."),
      kernel: memory("kmem."),
      kernelTcp: memory("kmem.tcp."),
      cache: raw["cache"] ?? 0,
      raw,
      oomKills: flat("memory", "memory.oom_control")["oom_kill"] ?? 0,
    },
    pids: {
      current: number(read("pids", "pids.current")),
      limit: pidsLimit === "max" ? 0 : number(pidsLimit),
    },
    blockIo: readV1Io((file) => read("blkio", file)),
    hugetlb: {},
  };
}

function readV1Io(read: (file: string) => string | undefined): CgroupStats["blockIo"] {
  const entries = (bfq: string, throttle: string) => {
    const text = read(bfq) ?? "";
    return parseIo(/\d+:\d+/.test(text) ? text : (read(throttle) ?? ""));
  };
  return {
    serviceBytes: entries(
      "blkio.bfq.io_service_bytes_recursive",
      "blkio.throttle.io_service_bytes_recursive",
    ),
    serviced: entries("blkio.bfq.io_serviced_recursive", "blkio.throttle.io_serviced_recursive"),
  };
}

function parseIo(text: string): IoCounter[] {
  return [...text.matchAll(/^(\d+):(\d+) (\w+) (\d+)$/gm)].map(([, major, minor, operation, value]) => ({
    major: Number(major),
    minor: Number(minor),
    operation: operation!,
    value: Number(value),
  }));
}

function readUnified(directory: string): CgroupStats {
  const read = (file: string) => readControlIfPresent(directory, file);
  const flat = (file: string) => parseFlatKeyed(read(file) ?? "");
  const cpu = flat("cpu.stat");
  const raw = flat("memory.stat");
  const events = flat("memory.events");
  const nanoseconds = (key: string) => (cpu[key] ?? 0) * 1000;
  const usage = {
    usage: number(read("memory.current")),
    max: number(read("memory.peak")),
    failures: events["max"] ?? 0,
    limit: number(read("memory.max")),
  };
  const swapLimit = number(read("memory.swap.max"));
  const io = ioStat(read("io.stat") ?? "");
  const pidsLimit = read("pids.max");
  return {
    cpu: {
      total: nanoseconds("usage_usec"),
      user: nanoseconds("user_usec"),
      kernel: nanoseconds("system_usec"),
      perCpu: [],
      throttling: {
        periods: cpu["nr_periods"] ?? 0,
        throttledPeriods: cpu["nr_throttled"] ?? 0,
        throttledTime: nanoseconds("throttled_usec"),
      },
    },
    memory: {
      usage,
      // v1 counts memory and swap together, and so do those who read this.
      swap: {
        usage: number(read("memory.swap.current")) + usage.usage,
        max: 0,
        failures: 0,
        limit: swapLimit === unlimited ? unlimited : swapLimit + usage.limit,
      },
      kernel: none,
      kernelTcp: none,
      cache: raw["file"] ?? 0,
      raw,
      oomKills: events["oom_kill"] ?? 0,
    },
    pids: {
      current: number(read("pids.current")),
      limit: pidsLimit === "max" ? 0 : number(pidsLimit),
    },
    blockIo: io,
    hugetlb: {},
  };
}

function ioStat(text: string): CgroupStats["blockIo"] {
  const serviceBytes: IoCounter[] = [];
  const serviced: IoCounter[] = [];
  for (const line of text.split("\n")) {
    const [, major, minor, rest] = line.match(/^(\d+):(\d+) (.*)$/) ?? [];
    if (rest === undefined) continue;
    const values = Object.fromEntries(rest.split(" ").map((pair) => pair.split("=") as [string, string]));
    const add = (list: IoCounter[], operation: string, key: string) => {
      if (values[key] !== undefined)
        list.push({ major: Number(major), minor: Number(minor), operation, value: Number(values[key]) });
    };
    add(serviceBytes, "Read", "rbytes");
    add(serviceBytes, "Write", "wbytes");
    add(serviced, "Read", "rios");
    add(serviced, "Write", "wios");
  }
  return { serviceBytes, serviced };
}
