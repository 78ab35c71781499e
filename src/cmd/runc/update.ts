import { readFileSync } from "node:fs";
import { invalid } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import type { LinuxResources } from "../../oci/runtime-spec.ts";
import { parseJson, update } from "../../runc/index.ts";
import { type Context, expectArgs } from "./context.ts";
import { type Flags, parseFlags } from "./flags.ts";

const names = [
  "blkio-weight",
  "cpu-period",
  "cpu-quota",
  "cpu-burst",
  "cpu-share",
  "cpu-rt-period",
  "cpu-rt-runtime",
  "cpuset-cpus",
  "cpuset-mems",
  "memory",
  "memory-reservation",
  "memory-swap",
  "kernel-memory",
  "kernel-memory-tcp",
  "pids-limit",
  "l3-cache-schema",
  "mem-bw-schema",
  "cpu-idle",
] as const;

export async function updateVerb(context: Context, argv: string[]): Promise<number> {
  const flags = parseFlags(argv, [
    ["resources", "r", "string"],
    ...names.map((name) => [name, "", "string"] as const),
  ]);
  expectArgs(flags, "update", 1);
  const file = flags.string("resources");
  const resources = file
    ? (parseJson(readFileSync(file === "-" ? 0 : file, "utf8"), file) as LinuxResources)
    : fromFlags(flags);
  // Devices are not runc's to update: what gave them (a GPU's plugin) may have done so on its own.
  const { devices: _, ...others } = resources;
  if (flags.string("l3-cache-schema")) throw invalid("Intel RDT/CAT: l3 cache schema is not enabled");
  if (flags.string("mem-bw-schema")) throw invalid("Intel RDT/MBA: memory bandwidth schema is not enabled");
  await update(context.root, flags.args[0]!, others);
  return 0;
}

function fromFlags(flags: Flags): LinuxResources {
  const integer = (name: string, least: number) => {
    const text = flags.string(name);
    if (text === "") return undefined;
    const value = Number(text);
    if (!/^-?\d+$/.test(text) || value < least)
      throw invalid(`invalid value for ${name}: parsing ${JSON.stringify(text)}: invalid syntax`);
    return value;
  };
  const bytes = (name: string) => {
    const text = flags.string(name);
    return text === "" ? undefined : parseBytes(text, name);
  };
  if (flags.string("kernel-memory") || flags.string("kernel-memory-tcp"))
    log.warn("Kernel memory settings are ignored and will be removed");
  const cpus = flags.string("cpuset-cpus");
  const mems = flags.string("cpuset-mems");
  return {
    memory: defined({
      limit: bytes("memory"),
      reservation: bytes("memory-reservation"),
      swap: bytes("memory-swap"),
    }),
    cpu: defined({
      shares: integer("cpu-share", 0),
      period: integer("cpu-period", 0),
      quota: integer("cpu-quota", Number.NEGATIVE_INFINITY),
      burst: integer("cpu-burst", 0),
      realtimePeriod: integer("cpu-rt-period", 0),
      realtimeRuntime: integer("cpu-rt-runtime", Number.NEGATIVE_INFINITY),
      idle: integer("cpu-idle", 0),
      cpus: cpus || undefined,
      mems: mems || undefined,
    }),
    blockIO: defined({ weight: integer("blkio-weight", 0) }),
    ...(flags.string("pids-limit") && { pids: { limit: integer("pids-limit", -1)! } }),
  };
}

type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined> };
const defined = <T extends object>(fields: T): Given<T> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Given<T>;

/** Go's RAMInBytes: a number with k, m, g, t, p and an optional b or ib, powers of 1024. */
export function parseBytes(text: string, name: string): number {
  if (text === "-1") return -1;
  const [, digits, unit = ""] = text.match(/^(\d+(?:\.\d+)?) ?([kmgtp]?)i?b?$/i) ?? [];
  if (digits === undefined) throw invalid(`invalid value for ${name}: invalid size: '${text}'`);
  return Math.trunc(Number(digits) * 1024 ** (unit === "" ? 0 : "kmgtp".indexOf(unit.toLowerCase()) + 1));
}
