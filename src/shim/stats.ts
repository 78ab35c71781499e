import type { Any } from "@bufbuild/protobuf/wkt";
import { type CgroupStats, cgroupDirectoriesOf, cgroupLayout, readStats } from "../sys/cgroup/index.ts";

/** Counters of the cgroups a process is in, for runtimes that are not ours. */
export function statsOfProcess(pid: number): Promise<Any> {
  const layout = cgroupLayout();
  return packStats(readStats(cgroupDirectoriesOf(layout, pid)), layout.mode === "v2");
}

/** The memory cgroup a process is in. */
export function memoryCgroupOf(pid: number): string | undefined {
  const layout = cgroupLayout();
  return cgroupDirectoriesOf(layout, pid)[layout.mode === "v2" ? "" : "memory"];
}

/** Whether the kernel has killed in this memory cgroup; a cgroup that is gone tells nothing. */
export const oomKilled = (directory: string): boolean => memoryKills(directory).kills > 0;

/** No machine has so much: a limit above it is none. */
const unlimited = 2 ** 60;

/** How often the kernel has killed in this memory cgroup, and whether it has a limit. */
export function memoryKills(directory: string): { kills: number; limited: boolean } {
  const key = cgroupLayout().mode === "v2" ? "" : "memory";
  const { oomKills, usage } = readStats({ [key]: directory }).memory;
  return { kills: oomKills, limited: usage.limit > 0 && usage.limit < unlimited };
}

/** Counters as containerd's clients decode them. Few ask, and their messages' descriptions take 5 ms to load. */
export async function packStats(stats: CgroupStats, unified = cgroupLayout().mode === "v2"): Promise<Any> {
  return (await import("./metrics.ts")).packMetrics(stats, unified);
}
