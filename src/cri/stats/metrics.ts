import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type ContainerStats,
  type MetricDescriptorSchema,
  type MetricSchema,
  MetricType,
  type PodSandboxMetricsSchema,
  type PodSandboxStats,
} from "../../../proto/gen/runtime/v1/stats_pb.ts";

type Metric = MessageInitShape<typeof MetricSchema>;

/** cAdvisor's names, so that dashboards go on; values are whole numbers. */
const containerMetrics: Array<{
  name: string;
  help: string;
  type: MetricType;
  value: (stats: ContainerStats) => bigint | undefined;
}> = [
  {
    name: "container_cpu_usage_seconds_total",
    help: "Cumulative cpu time consumed in seconds.",
    type: MetricType.COUNTER,
    value: ({ cpu }) => cpu?.usageCoreNanoSeconds && cpu.usageCoreNanoSeconds.value / 1_000_000_000n,
  },
  {
    name: "container_memory_usage_bytes",
    help: "Current memory usage in bytes, including all memory regardless of when it was accessed",
    type: MetricType.GAUGE,
    value: ({ memory }) => memory?.usageBytes?.value,
  },
  {
    name: "container_memory_working_set_bytes",
    help: "Current working set in bytes.",
    type: MetricType.GAUGE,
    value: ({ memory }) => memory?.workingSetBytes?.value,
  },
  {
    name: "container_memory_rss",
    help: "Size of RSS in bytes.",
    type: MetricType.GAUGE,
    value: ({ memory }) => memory?.rssBytes?.value,
  },
  {
    name: "container_memory_swap",
    help: "Container swap usage in bytes.",
    type: MetricType.GAUGE,
    value: ({ swap }) => swap?.swapUsageBytes?.value,
  },
  {
    name: "container_fs_usage_bytes",
    help: "Number of bytes that are consumed by the container on this filesystem.",
    type: MetricType.GAUGE,
    value: ({ writableLayer }) => writableLayer?.usedBytes?.value,
  },
];

const networkMetrics = {
  container_network_receive_bytes_total: "Cumulative count of bytes received",
  container_network_receive_errors_total: "Cumulative count of errors encountered while receiving",
  container_network_transmit_bytes_total: "Cumulative count of bytes transmitted",
  container_network_transmit_errors_total: "Cumulative count of errors encountered while transmitting",
};

export const metricDescriptors: Array<MessageInitShape<typeof MetricDescriptorSchema>> = [
  ...containerMetrics.map(({ name, help }) => ({ name, help, labelKeys: ["id", "name"] })),
  ...Object.entries(networkMetrics).map(([name, help]) => ({ name, help, labelKeys: ["id", "interface"] })),
];

/** A pod's metrics out of its statistics. */
export function podMetrics({
  attributes,
  linux,
}: PodSandboxStats): MessageInitShape<typeof PodSandboxMetricsSchema> {
  const id = attributes?.id ?? "";
  const timestamp = linux?.network?.timestamp ?? 0n;
  const interfaces = [linux?.network?.defaultInterface, ...(linux?.network?.interfaces ?? [])].filter(
    (entry) => entry !== undefined,
  );
  const metrics: Metric[] = interfaces.flatMap((entry) => {
    const values = [entry.rxBytes, entry.rxErrors, entry.txBytes, entry.txErrors];
    return Object.keys(networkMetrics).map((name, index) => ({
      name,
      timestamp,
      metricType: MetricType.COUNTER,
      labelValues: [id, entry.name],
      value: { value: values[index]?.value ?? 0n },
    }));
  });
  return {
    podSandboxId: id,
    metrics,
    containerMetrics: (linux?.containers ?? []).map((stats) => ({
      containerId: stats.attributes?.id ?? "",
      metrics: containerMetrics.flatMap(({ name, type, value }) => {
        const found = value(stats);
        if (found === undefined) return [];
        return [
          {
            name,
            timestamp: stats.cpu?.timestamp ?? 0n,
            metricType: type,
            labelValues: [stats.attributes?.id ?? "", stats.attributes?.metadata?.name ?? ""],
            value: { value: found },
          },
        ];
      }),
    })),
  };
}
