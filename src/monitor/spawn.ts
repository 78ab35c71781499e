import { unimplemented } from "../base/errors.ts";
import type { EncodedPlan, Launcher, Monitor, MonitorSpec } from "./types.ts";

/** Starts a monitor and resolves when its process waits at the start gate (or runs, in a plan without one). */
export async function spawnMonitor(spec: MonitorSpec): Promise<Monitor> {
  void spec;
  throw unimplemented("not landed yet");
}

/** A launcher for runc.create and runc.exec that puts the process under a monitor; `monitor` is set after the launch. */
export function monitorLauncher(spec: Omit<MonitorSpec, "run">): Launcher & { monitor: Monitor | undefined } {
  return {
    monitor: undefined,
    async launch(plan: EncodedPlan) {
      this.monitor = await spawnMonitor({ ...spec, run: { kind: "plan", plan } });
      return { pid: this.monitor.pid, timings: this.monitor.timings, warnings: this.monitor.warnings };
    },
  };
}
