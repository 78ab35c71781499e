import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import type { LinuxContainerResources } from "../../../proto/gen/runtime/v1/common_pb.ts";
import { invalid } from "../../base/errors.ts";
import type { LinuxCPU, LinuxMemory, LinuxResources } from "../../oci/runtime-spec.ts";
import { cgroupLayout } from "../../sys/cgroup/index.ts";
import { ownCapabilities } from "./capabilities.ts";

let swap: boolean | undefined;

/** Whether the kernel counts swap at all. */
export function swapIsCounted(): boolean {
  if (swap === undefined) {
    const layout = cgroupLayout();
    const own = layout.own.get("") ?? "/";
    swap =
      layout.mode === "v2"
        ? existsSync(join(layout.mounts.get("")!.directory, own, "memory.swap.max")) || own === "/"
        : existsSync(
            join(layout.mounts.get("memory")?.directory ?? "/nowhere", "memory.memsw.limit_in_bytes"),
          );
  }
  return swap;
}

let hugetlb: boolean | undefined;

/** Whether huge pages are limited here: kubelet sets limits of all sizes, also where no hierarchy counts them. */
export function hugePagesAreCounted(): boolean {
  if (hugetlb === undefined) {
    const layout = cgroupLayout();
    if (layout.mode === "v2") {
      const { directory } = layout.mounts.get("")!;
      hugetlb = readFileSync(join(directory, "cgroup.controllers"), "utf8").split(/\s+/).includes("hugetlb");
    } else hugetlb = layout.mounts.has("hugetlb");
  }
  return hugetlb;
}

/** Kubernetes' resources as the runtime specification has them. Zero is "not given" throughout. */
export function resourcesOf(resources: LinuxContainerResources | undefined): LinuxResources {
  if (!resources) return {};
  const cpu: LinuxCPU = {};
  if (resources.cpuPeriod) cpu.period = Number(resources.cpuPeriod);
  if (resources.cpuQuota) cpu.quota = Number(resources.cpuQuota);
  if (resources.cpuShares) cpu.shares = Number(resources.cpuShares);
  if (resources.cpusetCpus) cpu.cpus = resources.cpusetCpus;
  if (resources.cpusetMems) cpu.mems = resources.cpusetMems;
  const memory: LinuxMemory = {};
  if (resources.memoryLimitInBytes) {
    memory.limit = Number(resources.memoryLimitInBytes);
    // Without a word about swap there is none.
    if (swapIsCounted())
      memory.swap = Number(resources.memorySwapLimitInBytes || resources.memoryLimitInBytes);
  }
  const out: LinuxResources = {};
  if (Object.keys(cpu).length > 0) out.cpu = cpu;
  if (Object.keys(memory).length > 0) out.memory = memory;
  const hugePages = resources.hugepageLimits.map(({ pageSize, limit }) => {
    if (!/^\d+[KMGT]B$/.test(pageSize)) throw invalid(`invalid huge page size ${JSON.stringify(pageSize)}`);
    return { pageSize, limit: Number(limit) };
  });
  if (hugePages.length > 0 && hugePagesAreCounted()) out.hugepageLimits = hugePages;
  if (Object.keys(resources.unified).length > 0) out.unified = { ...resources.unified };
  return out;
}

/** What a process may ask of the OOM killer: without CAP_SYS_RESOURCE nobody can go below where he is. */
export function oomScoreAdjustment(wanted: number): number {
  if (wanted < -1000 || wanted > 1000) throw invalid(`oom_score_adj ${wanted} is not between -1000 and 1000`);
  if (ownCapabilities().has("CAP_SYS_RESOURCE")) return wanted;
  return Math.max(wanted, Number(readFileSync("/proc/self/oom_score_adj", "utf8")));
}

/** `/kubepods/pod…/id`, or systemd's `slice:prefix:name`. */
export function cgroupsPathOf(parent: string, id: string, systemd: boolean): string {
  if (systemd) return `${parent.split("/").at(-1) || "system.slice"}:cri-containerd:${id}`;
  return `${parent === "" ? "/k8s.io" : join("/", parent)}/${id}`;
}

const resourcesUrl = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources";

/** Resources for a task's update, as Go's typeurl packs the plain struct. */
export const packResources = (resources: LinuxResources): Any =>
  create(AnySchema, { typeUrl: resourcesUrl, value: Buffer.from(JSON.stringify(resources)) });
