import { containerProcesses } from "./cgroup/manager.ts";
import { readState } from "./state-store.ts";

/** The processes of a container in the runtime's pid namespace, those in sub-cgroups included. */
export function processes(root: string, id: string): number[] {
  return containerProcesses(readState(root, id).cgroupPaths);
}
