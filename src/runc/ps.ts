import { conflict } from "../base/errors.ts";
import { containerProcesses } from "./cgroup/manager.ts";
import { readState, statusOf } from "./state-store.ts";

/** The processes of a container in the runtime's pid namespace, those in sub-cgroups included. */
export function processes(root: string, id: string): number[] {
  const state = readState(root, id);
  if (statusOf(root, state) === "stopped") throw conflict("container not running");
  return containerProcesses(state.cgroupPaths);
}
