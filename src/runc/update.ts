import { conflict } from "../base/errors.ts";
import { span } from "../base/trace.ts";
import type { LinuxResources } from "../oci/runtime-spec.ts";
import { cgroupLayout } from "../sys/cgroup/index.ts";
import { setResources } from "./cgroup/manager.ts";
import { readState, statusOf, writeState } from "./state-store.ts";
import type { Warn } from "./types.ts";

/**
 * Changes limits of a container that exists; what is not named stays. Device rules change only when they are
 * given, and then by their difference: there is no moment in which a device in use is denied.
 */
export function update(
  root: string,
  id: string,
  resources: LinuxResources,
  warn: Warn = () => {},
): Promise<void> {
  return span("runc", "update", async () => {
    const state = readState(root, id);
    if (statusOf(root, state) === "stopped") throw conflict("container not running");
    const layout = cgroupLayout();
    const merged = merge(state.spec.linux?.resources ?? {}, resources);
    const { cgroupPaths: directories, spec } = state;
    let written = resources;
    if (state.systemdCgroup) {
      const { updateUnit } = await import("./cgroup/systemd/container.ts");
      written = await updateUnit({ spec, id, layout, directories, resources, warn }, merged);
    }
    setResources(layout, directories, written, state.rootlessCgroups ?? false);
    writeState(root, {
      ...state,
      spec: { ...state.spec, linux: { ...state.spec.linux, resources: merged } },
    });
  });
}

/** The resources as they are after the change: what is given and not zero, over what was. */
function merge(before: LinuxResources, change: LinuxResources): LinuxResources {
  const given = <T extends object>(part: T | undefined): Partial<T> =>
    Object.fromEntries(
      Object.entries(part ?? {}).filter(([, value]) => value !== 0 && value !== ""),
    ) as Partial<T>;
  const { devices: _, pids, memory, cpu, blockIO, unified, ...others } = change;
  return {
    ...before,
    ...others,
    ...(memory && { memory: { ...before.memory, ...given(memory) } }),
    ...(cpu && { cpu: { ...before.cpu, ...given(cpu) } }),
    ...(blockIO && { blockIO: { ...before.blockIO, ...given(blockIO) } }),
    ...(pids?.limit && { pids }),
    ...(unified && { unified: { ...before.unified, ...unified } }),
    ...(change.devices && { devices: change.devices }),
  };
}
