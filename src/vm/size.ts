import type { LinuxResources } from "../oci/runtime-spec.ts";
import { weightOfShares } from "../runc/cgroup/v2.ts";
import type { VmSettings } from "./settings.ts";

const mebi = 1 << 20;
/** MiB that the guest's kernel and agent take of a machine's memory. */
const guestOverhead = 96;
const least = 128;

export interface MachineSize {
  /** MiB of the machine. */
  memory: number;
  cpus: number;
}

/** A machine large enough for the container's limits; without limits, of the configured size. */
export function machineSize(resources: LinuxResources | undefined, settings: VmSettings): MachineSize {
  const limit = Number(resources?.memory?.limit ?? 0);
  const memory = limit > 0 && limit < 2 ** 53 ? Math.ceil(limit / mebi) + guestOverhead : settings.memory;
  return { memory: Math.max(least, memory), cpus: processors(resources?.cpu, settings) };
}

function processors(cpu: LinuxResources["cpu"], settings: VmSettings): number {
  const most = navigator.hardwareConcurrency;
  const quota = Number(cpu?.quota ?? 0);
  const wanted =
    quota > 0
      ? Math.ceil(quota / Number(cpu?.period || 100_000))
      : countCpus(cpu?.cpus ?? "") || settings.cpus;
  return Math.max(1, Math.min(most, wanted));
}

/** How many processors a list such as `0-2,5` names. */
export function countCpus(list: string): number {
  let count = 0;
  for (const part of list.split(",").filter(Boolean)) {
    const [first = 0, last = first] = part.split("-").map(Number);
    count += last - first + 1;
  }
  return count;
}

/** What the guest's cgroup is told, by file. */
export function guestLimits(resources: LinuxResources | undefined): [file: string, value: string][] {
  const limits: [string, string][] = [];
  const memory = Number(resources?.memory?.limit ?? 0);
  if (memory !== 0) limits.push(["memory.max", memory > 0 && memory < 2 ** 53 ? String(memory) : "max"]);
  const low = Number(resources?.memory?.reservation ?? 0);
  if (low > 0) limits.push(["memory.low", String(low)]);
  const pids = Number(resources?.pids?.limit ?? 0);
  if (pids !== 0) limits.push(["pids.max", pids > 0 ? String(pids) : "max"]);
  return limits;
}

/** Shares of processors within a machine, for the containers of a pod. */
export function guestProcessors(cpu: LinuxResources["cpu"]): [file: string, value: string][] {
  const limits: [string, string][] = [];
  const quota = Number(cpu?.quota ?? 0);
  if (quota !== 0) limits.push(["cpu.max", `${quota > 0 ? quota : "max"} ${Number(cpu?.period || 100_000)}`]);
  const shares = Number(cpu?.shares ?? 0);
  if (shares > 0) limits.push(["cpu.weight", String(weightOfShares(Math.max(2, shares)))]);
  return limits;
}
