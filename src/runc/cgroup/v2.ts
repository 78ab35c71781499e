/** Resources (runtime-spec: config-linux, Control groups) → the files of cgroup v2. */
import { invalid } from "../../base/errors.ts";
import type { LinuxBlockIO, LinuxCPU, LinuxMemory, LinuxResources } from "../../oci/runtime-spec.ts";
import { attachDeviceProgram } from "../../sys/bpf.ts";
import { readControlIfPresent, writeControl } from "../../sys/cgroup/index.ts";
import { deviceProgram, encodeBpf } from "./device-program.ts";
import { devicePolicy } from "./devices.ts";
import { rdmaLine, throttleFields } from "./v1.ts";

/** True when something is asked for that a threaded cgroup cannot have. */
export function needsDomain(resources: LinuxResources): boolean {
  const { memory, blockIO, cpu, hugepageLimits } = resources;
  return Boolean(
    memory?.limit ||
      memory?.swap ||
      memory?.reservation ||
      blockIO?.weight ||
      blockIO?.weightDevice?.length ||
      throttleFields.some(([field]) => blockIO?.[field]?.length) ||
      cpu?.shares ||
      cpu?.quota ||
      cpu?.period ||
      hugepageLimits?.length,
  );
}

/** Sets what is asked for in one directory of the unified hierarchy. */
export function applyV2(directory: string, resources: LinuxResources): void {
  const { memory, cpu, pids, blockIO, hugepageLimits, rdma, devices, unified } = resources;
  if (pids?.limit) writeControl(directory, "pids.max", pids.limit > 0 ? String(pids.limit) : "max");
  if (memory) setMemory(directory, memory);
  if (blockIO) setIo(directory, blockIO);
  if (cpu) setCpu(directory, cpu);
  if (devices) attachDeviceProgram(directory, encodeBpf(deviceProgram(devicePolicy(devices))));
  for (const { pageSize, limit } of hugepageLimits ?? []) {
    const value = String(limit);
    writeControl(directory, `hugetlb.${pageSize}.max`, value);
    // Reservations count apart since 5.7; where they do, they are limited as well.
    if (readControlIfPresent(directory, `hugetlb.${pageSize}.rsvd.max`) !== undefined)
      writeControl(directory, `hugetlb.${pageSize}.rsvd.max`, value);
  }
  for (const [device, limit] of Object.entries(rdma ?? {}))
    writeControl(directory, "rdma.max", rdmaLine(device, limit));
  setUnified(directory, unified ?? {});
}

/** 0 leaves a value alone, -1 is no limit. */
const limitText = (value: number | undefined) => (!value ? undefined : value === -1 ? "max" : String(value));

function setMemory(directory: string, memory: LinuxMemory): void {
  const swap = swapLimit(memory);
  checkMemoryUsage(directory, memory);
  if (swap !== undefined) writeControl(directory, "memory.swap.max", swap);
  const limit = limitText(memory.limit);
  if (limit) writeControl(directory, "memory.max", limit);
  const low = limitText(memory.reservation);
  if (low) writeControl(directory, "memory.low", low);
}

/** Refuses, where that is asked for, a limit that would end processes at once. */
export function checkMemoryUsage(directory: string, memory: LinuxMemory | undefined): void {
  if (!memory?.checkBeforeUpdate || !memory.limit || memory.limit < 0) return;
  const usage = Number(readControlIfPresent(directory, "memory.current") ?? 0);
  if (usage > memory.limit) throw invalid(`rejecting memory limit ${memory.limit} < usage ${usage}`);
}

/** The configuration's swap is memory and swap together, v2's is swap alone. */
export function swapLimit({ limit = 0, swap = 0 }: LinuxMemory): string | undefined {
  if (limit === -1 && swap === 0) return "max";
  if (swap === 0) return undefined;
  if (swap === -1) return "max";
  if (limit === 0 || limit === -1) throw invalid("unable to set swap limit without memory limit");
  if (limit < 0) throw invalid(`invalid memory value: ${limit}`);
  if (swap < limit) throw invalid("memory+swap limit should be >= memory limit");
  return String(swap - limit);
}

/** cpu.shares 2 … 262144 → cpu.weight 1 … 10000. */
export const weightOfShares = (shares: number) => 1 + Math.floor(((shares - 2) * 9999) / 262142);
/** blkio.weight 10 … 1000 → io.weight 1 … 10000. */
export const weightOfBlkio = (weight: number) => 1 + Math.floor(((weight - 10) * 9999) / 990);

function setCpu(directory: string, cpu: LinuxCPU): void {
  if (cpu.idle !== undefined) writeControl(directory, "cpu.idle", String(cpu.idle));
  // An idle cgroup has no weight of its own.
  if (cpu.shares && cpu.idle !== 1) writeControl(directory, "cpu.weight", String(weightOfShares(cpu.shares)));
  if (cpu.quota || cpu.period) {
    const quota = cpu.quota && cpu.quota > 0 ? String(cpu.quota) : undefined;
    // Only a period: keep the quota there is.
    const kept = cpu.quota ? "max" : (readControlIfPresent(directory, "cpu.max")?.split(" ")[0] ?? "max");
    const period = cpu.period || Number(readControlIfPresent(directory, "cpu.max")?.split(" ")[1] ?? 100000);
    writeControl(directory, "cpu.max", `${quota ?? kept} ${period}`);
  }
  if (cpu.burst !== undefined) writeControl(directory, "cpu.max.burst", String(cpu.burst));
  if (cpu.cpus) writeControl(directory, "cpuset.cpus", cpu.cpus);
  if (cpu.mems) writeControl(directory, "cpuset.mems", cpu.mems);
}

function setIo(directory: string, io: LinuxBlockIO): void {
  const bfq = readControlIfPresent(directory, "io.bfq.weight");
  if (io.weight) {
    if (bfq !== undefined) writeControl(directory, "io.bfq.weight", String(io.weight));
    else writeControl(directory, "io.weight", String(weightOfBlkio(io.weight)));
  }
  // Weights per device exist where the file shows "default N".
  if (bfq?.includes("default"))
    for (const { major, minor, weight } of io.weightDevice ?? [])
      if (weight) writeControl(directory, "io.bfq.weight", `${major}:${minor} ${weight}`);
  for (const [field, , name] of throttleFields)
    for (const { major, minor, rate } of io[field] ?? [])
      writeControl(directory, "io.max", `${major}:${minor} ${name}=${rate}`);
}

function setUnified(directory: string, unified: Record<string, string>): void {
  for (const [file, value] of Object.entries(unified)) {
    if (file.includes("/"))
      throw invalid(`unified resource ${JSON.stringify(file)} must be a file name (no slashes)`);
    if (!file.includes("."))
      throw invalid(`unified resource ${JSON.stringify(file)} must be in the form CONTROLLER.PARAMETER`);
    try {
      // Some files take one line per write (io.max).
      for (const line of value.split("\n").filter(Boolean)) writeControl(directory, file, line);
    } catch (error) {
      const controller = file.split(".")[0]!;
      const available = (readControlIfPresent(directory, "cgroup.controllers") ?? "").split(" ");
      if (controller !== "cgroup" && !available.includes(controller))
        throw invalid(
          `unified resource ${JSON.stringify(file)} can't be set: controller ${JSON.stringify(controller)} not available`,
          error,
        );
      throw error;
    }
  }
}
