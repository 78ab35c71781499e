/** Figures out of the files of cgroups, read once a second at most. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { PsiStatsSchema } from "../../../proto/gen/runtime/v1/stats_pb.ts";
import { cgroupDirectories, cgroupLayout, readStats } from "../../sys/cgroup/index.ts";
import { listLinks } from "../../sys/netlink/link.ts";
import { NETLINK_ROUTE } from "../../sys/netlink/socket.ts";
import { openNetlinkIn } from "../../sys/netns.ts";
import type { Counters } from "../engine.ts";

const maxAge = 1000;

export interface Sample extends Counters {
  at: bigint;
  nanoCores: bigint | undefined;
  psi: Partial<Record<"cpu" | "memory" | "io", MessageInitShape<typeof PsiStatsSchema>>>;
}

/** Samples by cgroup, so that a rate can be told and a second question costs nothing. */
export class CgroupSamples {
  readonly #samples = new Map<string, Sample>();

  /** Undefined when there is no such cgroup. */
  read(cgroupsPath: string): Sample | undefined {
    const before = this.#samples.get(cgroupsPath);
    const at = nanosecondsNow();
    if (before && at - before.at < BigInt(maxAge) * 1_000_000n) return before;
    const directories = cgroupDirectories(cgroupLayout(), cgroupsPath);
    if (!Object.values(directories).some((directory) => existsSync(directory))) {
      this.#samples.delete(cgroupsPath);
      return undefined;
    }
    const stats = readStats(directories);
    const cpu = BigInt(Math.round(stats.cpu.total));
    const unified = directories[""];
    return this.#keep(cgroupsPath, { at, cpu, stats, psi: unified ? pressure(unified) : {} });
  }

  /** Of a container whose counters are not on this machine. */
  async ask(cgroupsPath: string, counters: () => Promise<Counters | undefined>): Promise<Sample | undefined> {
    const before = this.#samples.get(cgroupsPath);
    const at = nanosecondsNow();
    if (before && at - before.at < BigInt(maxAge) * 1_000_000n) return before;
    const found = await counters();
    return found && this.#keep(cgroupsPath, { at, ...found, psi: {} });
  }

  #keep(cgroupsPath: string, now: Omit<Sample, "nanoCores">): Sample {
    const before = this.#samples.get(cgroupsPath);
    const nanoCores =
      before && now.cpu >= before.cpu && now.at > before.at
        ? ((now.cpu - before.cpu) * 1_000_000_000n) / (now.at - before.at)
        : before?.nanoCores;
    const sample = { ...now, nanoCores };
    this.#samples.set(cgroupsPath, sample);
    return sample;
  }

  /** What is gone is forgotten. */
  forget(cgroupsPath: string): void {
    this.#samples.delete(cgroupsPath);
  }
}

const nanosecondsNow = (): bigint => BigInt(Date.now()) * 1_000_000n + (process.hrtime.bigint() % 1_000_000n);

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

export function figures({ at: timestamp, stats, cpu, nanoCores, psi }: Sample) {
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

export const defined = ({ io, ...rest }: ReturnType<typeof figures>) => ({ ...rest, ...(io ? { io } : {}) });

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

/** The counters of the interfaces in a network namespace. */
export function networkOf(netns: string | undefined) {
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
