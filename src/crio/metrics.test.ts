import { expect, test } from "bun:test";
import { Metrics } from "./metrics.ts";

test("calls are counted with their failures and their time, and only what is asked for is printed", async () => {
  const metrics = new Metrics();
  await metrics.measured("Status", async () => {});
  await metrics.measured("Status", () => Promise.reject(new Error("no"))).catch(() => {});
  metrics.add("image_pulls_bytes_total", {}, 42);
  const all = metrics.print([
    "operations_total",
    "crio_operations_errors_total",
    "container_runtime_crio_image_pulls_bytes_total",
  ]);
  expect(all).toContain('container_runtime_crio_operations_total{operation="Status"} 2\n');
  expect(all).toContain('container_runtime_crio_operations_errors_total{operation="Status"} 1\n');
  expect(all).toContain("container_runtime_crio_image_pulls_bytes_total 42\n");
  expect(all).not.toContain("latency");
  expect(metrics.print(["operations_latency_seconds_total"])).toMatch(
    /operations_latency_seconds_total\{operation="Status"\} \d/,
  );
});
