/** Resources (runtime-spec: config-linux, Control groups) → the files of cgroup v1. */
import { conflict, invalid } from "../../base/errors.ts";
import type { LinuxBlockIO, LinuxCPU, LinuxMemory, LinuxResources } from "../../oci/runtime-spec.ts";
import {
  errnoOf,
  readControl,
  readControlIfPresent,
  writeControl,
  writeControls,
} from "../../sys/cgroup/index.ts";
import { devicePolicy, deviceTransition, parseDevicesList } from "./devices.ts";

type Directories = Readonly<Record<string, string>>;

/** Sets what is asked for, controller by controller; a limit whose controller is missing is an error. */
export function applyV1(directories: Directories, resources: LinuxResources): void {
  if (resources.unified && Object.keys(resources.unified).length > 0)
    throw invalid("invalid configuration: cannot use unified on cgroup v1");
  const { memory, cpu, pids, blockIO, hugepageLimits, network, rdma, devices } = resources;
  const within = (controller: string, asked: boolean, set: (directory: string) => void) => {
    if (!asked) return;
    const directory = directories[controller];
    if (!directory)
      throw conflict(`cannot set ${controller} limit: container could not join or create cgroup`);
    set(directory);
  };
  within("cpuset", Boolean(cpu?.cpus || cpu?.mems), (directory) => {
    if (cpu?.cpus) writeControl(directory, "cpuset.cpus", cpu.cpus);
    if (cpu?.mems) writeControl(directory, "cpuset.mems", cpu.mems);
  });
  within("devices", devices !== undefined, (directory) => {
    const present = parseDevicesList(readControl(directory, "devices.list"));
    const writes = deviceTransition(present, devicePolicy(devices ?? []));
    for (let at = 0; at < writes.length; ) {
      const { file } = writes[at]!;
      const end = writes.findIndex((write, index) => index > at && write.file !== file);
      const run = writes.slice(at, end < 0 ? undefined : end);
      writeControls(
        directory,
        file,
        run.map(({ rule }) => rule),
      );
      at += run.length;
    }
  });
  within("memory", isMemorySet(memory), (directory) => setMemory(directory, memory ?? {}));
  within("cpu", isCpuSet(cpu), (directory) => setCpu(directory, cpu ?? {}));
  within("pids", Boolean(pids?.limit), (directory) => {
    const limit = pids?.limit ?? 0;
    writeControl(directory, "pids.max", limit > 0 ? String(limit) : "max");
  });
  within("blkio", isBlockIoSet(blockIO), (directory) => setBlockIo(directory, blockIO ?? {}));
  within("hugetlb", Boolean(hugepageLimits?.length), (directory) => {
    for (const { pageSize, limit } of hugepageLimits ?? [])
      writeControl(directory, `hugetlb.${pageSize}.limit_in_bytes`, String(limit));
  });
  within("net_cls", Boolean(network?.classID), (directory) =>
    writeControl(directory, "net_cls.classid", String(network?.classID)),
  );
  within("net_prio", Boolean(network?.priorities?.length), (directory) => {
    for (const { name, priority } of network?.priorities ?? [])
      writeControl(directory, "net_prio.ifpriomap", `${name} ${priority}`);
  });
  within("rdma", Boolean(rdma && Object.keys(rdma).length), (directory) => {
    for (const [device, limit] of Object.entries(rdma ?? {}))
      writeControl(directory, "rdma.max", rdmaLine(device, limit));
  });
}

export function rdmaLine(device: string, limit: { hcaHandles?: number; hcaObjects?: number }): string {
  return [
    device,
    limit.hcaHandles !== undefined && `hca_handle=${limit.hcaHandles}`,
    limit.hcaObjects !== undefined && `hca_object=${limit.hcaObjects}`,
  ]
    .filter(Boolean)
    .join(" ");
}

const isMemorySet = (memory: LinuxMemory | undefined) =>
  Boolean(
    memory &&
      (memory.limit ||
        memory.swap ||
        memory.reservation ||
        memory.disableOOMKiller ||
        (memory.swappiness !== undefined && memory.swappiness !== -1)),
  );

function setMemory(directory: string, memory: LinuxMemory): void {
  const limit = memory.limit ?? 0;
  let swap = memory.swap ?? 0;
  // No limit on memory means none on memory and swap either, unless one is given.
  if (
    limit === -1 &&
    swap === 0 &&
    readControlIfPresent(directory, "memory.memsw.limit_in_bytes") !== undefined
  )
    swap = -1;
  const setLimit = () => {
    if (limit !== 0) writeMemoryLimit(directory, limit, memory.checkBeforeUpdate ?? false);
  };
  const setSwap = () => {
    if (swap !== 0) writeControl(directory, "memory.memsw.limit_in_bytes", String(swap));
  };
  // The kernel wants limit <= memory+swap at every moment: the one that grows first goes first.
  const swapFirst =
    limit !== 0 &&
    swap !== 0 &&
    (swap === -1 || Number(readControl(directory, "memory.limit_in_bytes")) < swap);
  for (const step of swapFirst ? [setSwap, setLimit] : [setLimit, setSwap]) step();
  if (memory.reservation) writeControl(directory, "memory.soft_limit_in_bytes", String(memory.reservation));
  if (memory.disableOOMKiller) writeControl(directory, "memory.oom_control", "1");
  const { swappiness } = memory;
  if (swappiness === undefined || swappiness === -1) return;
  if (swappiness < 0 || swappiness > 100)
    throw invalid(`invalid memory swappiness value: ${swappiness} (valid range is 0-100)`);
  writeControl(directory, "memory.swappiness", String(swappiness));
}

function writeMemoryLimit(directory: string, limit: number, check: boolean): void {
  const usage = () => readControl(directory, "memory.usage_in_bytes");
  if (check && limit > 0 && Number(usage()) > limit)
    throw conflict(`unable to set memory limit to ${limit} (current usage: ${usage()})`);
  try {
    writeControl(directory, "memory.limit_in_bytes", String(limit));
  } catch (error) {
    if (errnoOf(error) !== "EBUSY") throw error;
    const peak = readControl(directory, "memory.max_usage_in_bytes");
    throw conflict(
      `unable to set memory limit to ${limit} (current usage: ${usage()}, peak usage: ${peak})`,
      error,
    );
  }
}

const isCpuSet = (cpu: LinuxCPU | undefined) =>
  Boolean(
    cpu &&
      (cpu.shares ||
        cpu.quota ||
        cpu.period ||
        cpu.burst ||
        cpu.realtimePeriod ||
        cpu.realtimeRuntime ||
        cpu.idle !== undefined),
  );

function setCpu(directory: string, cpu: LinuxCPU): void {
  if (cpu.idle !== undefined) writeControl(directory, "cpu.idle", String(cpu.idle));
  if (cpu.shares) {
    writeControl(directory, "cpu.shares", String(cpu.shares));
    const present = Number(readControl(directory, "cpu.shares"));
    if (cpu.shares > present) throw invalid(`the maximum allowed cpu-shares is ${present}`);
    if (cpu.shares < present) throw invalid(`the minimum allowed cpu-shares is ${present}`);
  }
  const setPeriod = () => writeControl(directory, "cpu.cfs_period_us", String(cpu.period));
  const setQuota = () => writeControl(directory, "cpu.cfs_quota_us", String(cpu.quota));
  let periodLater = false;
  if (cpu.period) {
    try {
      setPeriod();
    } catch (error) {
      // A smaller period with the old quota can be over the parent's share: quota first then.
      if (errnoOf(error) !== "EINVAL" || !cpu.quota) throw error;
      periodLater = true;
    }
  }
  // A burst above the quota is refused, so it goes down before a smaller quota and up after a larger one.
  const burst = cpu.burst;
  let burstLater = false;
  if (burst !== undefined) {
    try {
      writeControl(directory, "cpu.cfs_burst_us", String(burst));
    } catch (error) {
      if (errnoOf(error) !== "EINVAL" || !cpu.quota) throw error;
      burstLater = true;
    }
  }
  if (cpu.quota) setQuota();
  if (periodLater) setPeriod();
  if (burstLater) writeControl(directory, "cpu.cfs_burst_us", String(burst));
  if (cpu.realtimePeriod) writeControl(directory, "cpu.rt_period_us", String(cpu.realtimePeriod));
  if (cpu.realtimeRuntime) writeControl(directory, "cpu.rt_runtime_us", String(cpu.realtimeRuntime));
}

const isBlockIoSet = (io: LinuxBlockIO | undefined) =>
  Boolean(
    io && Object.values(io).some((value) => (Array.isArray(value) ? value.length > 0 : Boolean(value))),
  );

/** Throttle files of v1 by the field they come from. */
export const throttleFields = [
  ["throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps"],
  ["throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps"],
  ["throttleReadIOPSDevice", "blkio.throttle.read_iops_device", "riops"],
  ["throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", "wiops"],
] as const;

function setBlockIo(directory: string, io: LinuxBlockIO): void {
  // Which of the two exists depends on the I/O scheduler that is built in.
  const bfq = readControlIfPresent(directory, "blkio.weight") === undefined;
  const weightFile = bfq ? "blkio.bfq.weight" : "blkio.weight";
  if (io.weight) writeControl(directory, weightFile, String(io.weight));
  if (io.leafWeight) writeControl(directory, "blkio.leaf_weight", String(io.leafWeight));
  for (const { major, minor, weight, leafWeight } of io.weightDevice ?? []) {
    if (weight) writeControl(directory, `${weightFile}_device`, `${major}:${minor} ${weight}`);
    if (leafWeight) writeControl(directory, "blkio.leaf_weight_device", `${major}:${minor} ${leafWeight}`);
  }
  for (const [field, file] of throttleFields)
    for (const { major, minor, rate } of io[field] ?? [])
      writeControl(directory, file, `${major}:${minor} ${rate}`);
}
