/**
 * Client of the native part (native/): launches plans, spawns and connects monitors, reads exit records.
 * docs/architecture.md fixes these types; native/README.md has the wire formats.
 */

export { connectMonitor } from "./connect.ts";
export { type DirectOptions, type DirectProcess, directLauncher } from "./direct.ts";
export { readExit } from "./exit.ts";
export { PlanError } from "./failure.ts";
export { attach as attachMonitor } from "./monitor.ts";
export { monitorLauncher, spawnMonitor } from "./spawn.ts";
export type * from "./types.ts";
