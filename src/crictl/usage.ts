import type { CpuUsage } from "../../proto/gen/runtime/v1/stats_pb.ts";

/** Of one CPU, over the time between two samples. */
export function cpuPercent(now: CpuUsage | undefined, before: CpuUsage | undefined): string {
  const used = now?.usageCoreNanoSeconds?.value ?? 0n;
  if (used === 0n) return "0.00";
  const time = (now?.timestamp ?? 0n) - (before?.timestamp ?? 0n);
  if (time === 0n) throw new Error("cpu stat is not updated during sample");
  return ((Number(used - (before?.usageCoreNanoSeconds?.value ?? 0n)) / Number(time)) * 100).toFixed(2);
}
