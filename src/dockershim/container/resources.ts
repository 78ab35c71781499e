import { create } from "@bufbuild/protobuf";
import {
  type LinuxContainerResources,
  LinuxContainerResourcesSchema,
} from "../../../proto/gen/runtime/v1/common_pb.ts";
import type { HostConfig, Resources } from "../../engine/types.ts";

/**
 * Kubernetes' limits in the daemon's words. Zero is "not given", and for an update "as it is". Huge pages and the files of
 * the unified hierarchy are not in the API: for them there is the pod's cgroup, which is kubelet's.
 */
export function resourcesOf(resources: LinuxContainerResources | undefined): Partial<Resources> {
  if (!resources) return {};
  const memory = Number(resources.memoryLimitInBytes);
  // Without a word about swap there is none.
  const swap = Number(resources.memorySwapLimitInBytes) || memory;
  return {
    CpuPeriod: Number(resources.cpuPeriod),
    CpuQuota: Number(resources.cpuQuota),
    CpuShares: Number(resources.cpuShares),
    CpusetCpus: resources.cpusetCpus,
    CpusetMems: resources.cpusetMems,
    ...(memory > 0 ? { Memory: memory, MemorySwap: swap } : {}),
  };
}

/** The way back. */
export const criResources = (host: HostConfig): LinuxContainerResources =>
  create(LinuxContainerResourcesSchema, {
    cpuPeriod: BigInt(host.CpuPeriod),
    cpuQuota: BigInt(host.CpuQuota),
    cpuShares: BigInt(host.CpuShares),
    cpusetCpus: host.CpusetCpus,
    cpusetMems: host.CpusetMems,
    memoryLimitInBytes: BigInt(host.Memory),
    memorySwapLimitInBytes: BigInt(host.MemorySwap > 0 ? host.MemorySwap : 0),
    oomScoreAdj: BigInt(host.OomScoreAdj),
  });
