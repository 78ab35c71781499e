/**
 * Resources (runtime-spec: config-linux, Control groups) → properties of a unit (systemd.resource-control(5)). What
 * systemd has no word for is only written to the cgroup's files; what it has is told to it as well, or it would
 * put its own value there the next time it looks.
 */
import { invalid } from "../../../base/errors.ts";
import type { LinuxMemory, LinuxResources } from "../../../oci/runtime-spec.ts";
import type { DbusValue, Variant } from "../../../sys/dbus/message.ts";
import type { Warn } from "../../types.ts";
import { swapLimit, weightOfShares } from "../v2.ts";
import { deviceProperties } from "./devices.ts";

/** A unit's property as the bus has it: name and value. */
export type Property = readonly [name: string, value: Variant];

export const property = (name: string, signature: string, value: DbusValue): Property => [
  name,
  { signature, value },
];

/** -1, which the configuration has for "no limit", is systemd's infinity. */
const infinity = 2n ** 64n - 1n;
const u64 = (value: number | bigint) => BigInt.asUintN(64, BigInt(value));
/** CPU bandwidth's period where none is given: the kernel's own, in microseconds. */
const defaultPeriod = 100_000;

export interface Target {
  unified: boolean;
  /** systemd's own version, as a number. */
  version: number;
  warn: Warn;
}

export interface Translated {
  properties: Property[];
  /** What is to be written to the files: systemd knows CPU quotas only as whole percents, so they are rounded up. */
  resources: LinuxResources;
}

/** The properties for limits; devices only where `resources` has a list of rules. */
export function resourceProperties(resources: LinuxResources, target: Target): Translated {
  const { memory, cpu, pids, devices, blockIO, unified } = resources;
  const properties: Property[] = devices ? deviceProperties(devices, target) : [];
  properties.push(...(target.unified ? memoryV2(memory ?? {}) : memoryV1(memory ?? {})));
  properties.push(...weight(resources, target));
  const quota = cpuQuota(cpu?.quota ?? 0, cpu?.period ?? 0, target.version);
  properties.push(...quota.properties);
  if (!target.unified && blockIO?.weight)
    properties.push(property("BlockIOWeight", "t", BigInt(blockIO.weight)));
  if (pids?.limit) properties.push(property("TasksMax", "t", u64(Math.max(pids.limit, -1))));
  properties.push(
    ...cpuset("AllowedCPUs", cpu?.cpus, target),
    ...cpuset("AllowedMemoryNodes", cpu?.mems, target),
  );
  if (target.unified) properties.push(...unifiedProperties(unified ?? {}, target));
  const rounded =
    quota.quota === (cpu?.quota ?? 0) ? resources : { ...resources, cpu: { ...cpu, quota: quota.quota } };
  return { properties, resources: rounded };
}

const memoryV1 = ({ limit }: LinuxMemory): Property[] =>
  limit ? [property("MemoryLimit", "t", u64(limit))] : [];

function memoryV2(memory: LinuxMemory): Property[] {
  const swap = swapLimit(memory);
  return [
    ...(memory.limit ? [property("MemoryMax", "t", u64(memory.limit))] : []),
    ...(memory.reservation ? [property("MemoryLow", "t", u64(memory.reservation))] : []),
    ...(swap === undefined ? [] : [property("MemorySwapMax", "t", swap === "max" ? infinity : BigInt(swap))]),
  ];
}

/** A weight of 0 is systemd's word for an idle cgroup, since version 252. */
const isIdle = (idle: number | undefined, { version }: Target) => idle === 1 && version >= 252;

function weight({ cpu }: LinuxResources, target: Target): Property[] {
  if (!target.unified) return cpu?.shares ? [property("CPUShares", "t", BigInt(cpu.shares))] : [];
  if (isIdle(cpu?.idle, target)) return [property("CPUWeight", "t", 0n)];
  return cpu?.shares ? [property("CPUWeight", "t", BigInt(weightOfShares(cpu.shares)))] : [];
}

/** The share of a second that systemd takes, in steps of one percent, and the quota that it comes to. */
function cpuQuota(quota: number, period: number, version: number): { properties: Property[]; quota: number } {
  if (!quota && !period) return { properties: [], quota };
  const properties = period && version >= 242 ? [property("CPUQuotaPeriodUSec", "t", BigInt(period))] : [];
  if (quota <= 0) {
    properties.push(property("CPUQuotaPerSecUSec", "t", infinity));
    return { properties, quota };
  }
  const length = period || defaultPeriod;
  const exact = Math.floor((quota * 1_000_000) / length);
  const rounded = Math.ceil(exact / 10_000) * 10_000;
  properties.push(property("CPUQuotaPerSecUSec", "t", BigInt(rounded)));
  return { properties, quota: rounded === exact ? quota : Math.floor((rounded * length) / 1_000_000) };
}

function cpuset(name: string, list: string | undefined, { version }: Target): Property[] {
  return list && version >= 244 ? [property(name, "ay", bitsOf(list))] : [];
}

/** A list of numbers and ranges ("0,2-4") as bytes with these bits set, the lowest first. */
export function bitsOf(list: string): Uint8Array {
  const bytes: number[] = [];
  for (const range of list.split(",").map((text) => text.trim())) {
    if (range === "") continue;
    const [, from, to = from] = range.match(/^(\d{1,5})(?:-(\d{1,5}))?$/) ?? [];
    if (from === undefined || Number(from) > Number(to)) throw invalid(`invalid range: ${range}`);
    for (let bit = Number(from); bit <= Number(to); bit++) {
      while (bytes.length <= bit >> 3) bytes.push(0);
      bytes[bit >> 3]! |= 1 << (bit & 7);
    }
  }
  if (bytes.length === 0) throw invalid(`empty list of numbers: ${JSON.stringify(list)}`);
  return Uint8Array.from(bytes);
}

const limits: Record<string, string> = {
  "memory.high": "MemoryHigh",
  "memory.low": "MemoryLow",
  "memory.min": "MemoryMin",
  "memory.max": "MemoryMax",
  "memory.swap.max": "MemorySwapMax",
  "pids.max": "TasksMax",
};

/** Files of v2 by name: those that systemd has a property for. */
function unifiedProperties(unified: Readonly<Record<string, string>>, target: Target): Property[] {
  return Object.entries(unified).flatMap(([file, text]) => {
    const value = text.trim();
    const number = (part: string) => {
      if (!/^\d+$/.test(part))
        throw invalid(`unified resource ${JSON.stringify(file)} value conversion error: ${part}`);
      return BigInt(part);
    };
    const limit = limits[file];
    if (limit) {
      const most = value === "max" ? infinity : number(value);
      // systemd refuses TasksMax=0.
      return [property(limit, "t", limit === "TasksMax" && most === 0n ? 1n : most)];
    }
    if (file === "cpu.max") {
      const [quota = "", period = String(defaultPeriod), ...more] = value.split(/\s+/);
      if (!quota || more.length > 0)
        throw invalid(`unified resource ${JSON.stringify(file)} value invalid: ${JSON.stringify(value)}`);
      const most = quota === "max" ? 0 : Number(number(quota));
      return cpuQuota(most, Number(number(period)), target.version).properties;
    }
    const idle = isIdle(Number(unified["cpu.idle"]?.trim() ?? 0), target);
    if (file === "cpu.idle") return idle ? [property("CPUWeight", "t", 0n)] : [];
    if (file === "cpu.weight") return idle ? [] : [property("CPUWeight", "t", number(value))];
    if (file === "cpuset.cpus") return cpuset("AllowedCPUs", value, target);
    if (file === "cpuset.mems") return cpuset("AllowedMemoryNodes", value, target);
    return [];
  });
}
