import { MetricsSchema } from "../../../proto/gen/io/containerd/cgroups/v2/metrics_pb.ts";
import { isCode } from "../../base/errors.ts";
import { unpackAny } from "../../containerd/client/index.ts";
import type { Counters } from "../engine.ts";
import type { ContainerdParts } from "./context.ts";

/** The counters that a container's shim has of it: those of the guest, whose cgroups are version 2. */
export async function shimCounters(
  { client }: ContainerdParts,
  containerId: string,
): Promise<Counters | undefined> {
  let metrics: ReturnType<typeof unpackAny<typeof MetricsSchema>>;
  try {
    const answer = await client.tasks.metrics({ filters: [`id==${containerId}`] });
    metrics = unpackAny(MetricsSchema, answer.metrics[0]?.data);
  } catch (error) {
    // It ended meanwhile, and its machine with it.
    if (isCode(error, "not_found") || isCode(error, "unavailable")) return undefined;
    throw error;
  }
  if (!metrics) return undefined;
  const { cpu, memory, pids } = metrics;
  const counter = (usage = 0n, limit = 0n) => ({
    usage: Number(usage),
    max: 0,
    failures: 0,
    limit: Number(limit),
  });
  return {
    cpu: (cpu?.usageUsec ?? 0n) * 1000n,
    stats: {
      memory: {
        usage: counter(memory?.usage, memory?.usageLimit),
        swap: counter(),
        raw: {
          inactive_file: Number(memory?.inactiveFile ?? 0n),
          anon: Number(memory?.anon ?? 0n),
          pgfault: Number(memory?.pgfault ?? 0n),
          pgmajfault: Number(memory?.pgmajfault ?? 0n),
        },
      },
      pids: { current: Number(pids?.current ?? 0n), limit: Number(pids?.limit ?? 0n) },
    },
  };
}
