/** The shim: tasks on OCI runtimes below monitors, served as containerd.task.v2. */
export { removeLeftCgroups } from "./leftovers.ts";
export { shareWithMapped } from "./mapped-bundle.ts";
export { type MonitoredFifos, monitoredFifos } from "./monitored-fifos.ts";
export { Bundles } from "./record.ts";
export { taskService } from "./service.ts";
export { Shim, type ShimOptions } from "./shim.ts";
export type { Stdio } from "./stdio.ts";
export type { OciRuntime, Publish, RuntimeChoice } from "./types.ts";
