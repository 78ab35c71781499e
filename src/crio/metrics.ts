/** Figures in Prometheus' text form, under CRI-O's names. */

const help = {
  operations_total: "Calls, by operation",
  operations_errors_total: "Calls that failed, by operation",
  operations_latency_seconds_total: "Seconds spent in calls, by operation",
  image_pulls_bytes_total: "Bytes of blobs that were pulled",
  image_pulls_success_total: "Pulls that succeeded",
  image_pulls_failure_total: "Pulls that failed",
  containers_oom_total: "Containers that were killed for memory",
} as const;

type Name = keyof typeof help;

export class Metrics {
  readonly #values = new Map<Name, Map<string, number>>();

  add(name: Name, labels: Record<string, string> = {}, value = 1): void {
    const values = this.#values.get(name) ?? new Map<string, number>();
    this.#values.set(name, values);
    const key = Object.entries(labels)
      .map(([label, text]) => `${label}=${JSON.stringify(text)}`)
      .join(",");
    values.set(key, (values.get(key) ?? 0) + value);
  }

  /** Counts a call, its time and its failure. */
  async measured<T>(operation: string, work: () => Promise<T>): Promise<T> {
    const before = performance.now();
    this.add("operations_total", { operation });
    try {
      return await work();
    } catch (error) {
      this.add("operations_errors_total", { operation });
      throw error;
    } finally {
      this.add("operations_latency_seconds_total", { operation }, (performance.now() - before) / 1000);
    }
  }

  print(collectors: readonly string[]): string {
    const wanted = new Set(collectors.map((name) => name.replace(/^(?:container_runtime_)?(?:crio_)?/, "")));
    let text = "";
    for (const name of Object.keys(help) as Name[]) {
      if (!wanted.has(name)) continue;
      const full = `container_runtime_crio_${name}`;
      text += `# HELP ${full} ${help[name]}\n# TYPE ${full} counter\n`;
      const values = this.#values.get(name);
      if (!values && (name.startsWith("image_pulls_success") || name.startsWith("image_pulls_failure")))
        text += `${full} 0\n`;
      for (const [labels, value] of values ?? []) text += `${full}${labels && `{${labels}}`} ${value}\n`;
    }
    return text + processFigures();
  }
}

function processFigures(): string {
  const { rss } = process.memoryUsage();
  const { user, system } = process.cpuUsage();
  return [
    "# TYPE process_cpu_seconds_total counter",
    `process_cpu_seconds_total ${(user + system) / 1e6}`,
    "# TYPE process_resident_memory_bytes gauge",
    `process_resident_memory_bytes ${rss}`,
    "# TYPE process_start_time_seconds gauge",
    `process_start_time_seconds ${(Date.now() / 1000 - process.uptime()).toFixed(3)}`,
    "",
  ].join("\n");
}
