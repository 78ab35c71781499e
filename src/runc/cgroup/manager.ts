/** The cgroups of one container, whatever this machine's layout is. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { conflict, messageOf } from "../../base/errors.ts";
import type { LinuxResources, Spec } from "../../oci/runtime-spec.ts";
import {
  type CgroupLayout,
  cgroupDirectories,
  cgroupProcesses,
  errnoOf,
  isFrozen,
  makeCgroup,
  makeCpuset,
  makeUnifiedCgroup,
  removeCgroup,
  removeCgroupIfEmpty,
} from "../../sys/cgroup/index.ts";
import type { Warn } from "../types.ts";
import { unitOf } from "./systemd/unit.ts";
import { applyV1 } from "./v1.ts";
import { applyV2, needsDomain } from "./v2.ts";

export type Directories = Record<string, string>;

/** Where the container's cgroups are to be (runtime-spec: config-linux, Cgroups Path). */
export function containerDirectories(
  layout: CgroupLayout,
  spec: Spec,
  id: string,
  systemd: boolean,
): Directories {
  if (systemd) return cgroupDirectories(layout, unitOf(spec, id).path);
  return cgroupDirectories(layout, spec.linux?.cgroupsPath || id);
}

export interface MadeCgroups {
  /** Those that exist now; without the ones we may not make when rootless. */
  directories: Directories;
  /** Removes what was made here, and nothing that was there before. */
  undo(): Promise<void>;
}

/** Makes the directories and sets the limits, before any process is in them. */
export async function makeCgroups(
  layout: CgroupLayout,
  wanted: Directories,
  resources: LinuxResources,
  options: { id: string; ignorePermission: boolean; explicitPath: boolean; checked?: boolean; warn: Warn },
): Promise<MadeCgroups> {
  if (!options.checked) checkExisting(wanted, options);
  const made: string[] = [];
  const directories: Directories = {};
  const own = new Set(Object.values(wanted));
  const undo = async () => {
    // What is above the container's own may hold others' by now, whose processes are still to come.
    for (const path of made.toReversed()) {
      if (own.has(path)) await removeCgroup(path);
      else removeCgroupIfEmpty(path);
    }
  };
  try {
    for (const [controller, directory] of Object.entries(wanted)) {
      try {
        if (layout.mode === "v2") {
          const mount = layout.mounts.get("")!.directory;
          made.push(...makeUnifiedCgroup(mount, directory, needsDomain(resources)));
        } else {
          made.push(...(controller === "cpuset" ? makeCpuset(directory) : makeCgroup(directory)));
        }
        directories[controller] = directory;
      } catch (error) {
        const permission = ["EPERM", "EACCES", "EROFS"].includes(errnoOf(error) ?? "");
        if (!(options.ignorePermission && permission && !options.explicitPath)) throw error;
      }
    }
    setResources(layout, directories, resources, options.ignorePermission);
  } catch (error) {
    await undo();
    throw error;
  }
  return { directories, undo };
}

/** A cgroup that is there already may hold other processes, or be frozen: then ours would hang for ever. */
export function checkExisting(wanted: Directories, { id, warn }: { id: string; warn: Warn }): void {
  const main = mainDirectory(wanted);
  if (!main || !existsSync(main)) {
    if (wanted["freezer"] && existsSync(wanted["freezer"]) && isFrozen(wanted)) refuseFrozen();
    return;
  }
  if (cgroupProcesses(main).length > 0)
    warn(
      `container's cgroup is not empty: ${cgroupProcesses(main).length} process(es) found; container ${id} shares it with them`,
    );
  if (isFrozen(wanted)) refuseFrozen();
}

function refuseFrozen(): never {
  throw conflict("container's cgroup unexpectedly frozen");
}

/** Sets limits on existing cgroups: of a new container or for `update`. */
export function setResources(
  layout: CgroupLayout,
  directories: Directories,
  resources: LinuxResources,
  ignoreDevices: boolean,
): void {
  const apply = (some: LinuxResources) => {
    const unified = directories[""];
    if (layout.mode !== "v2") applyV1(directories, some);
    else if (unified) applyV2(unified, some);
  };
  const { devices, ...others } = resources;
  if (!ignoreDevices || !devices) {
    apply(resources);
  } else {
    apply(others);
    tryDevices(() => apply({ devices }));
  }
}

/** Device rules are beyond a rootless user, and its user namespace keeps devices away anyhow. */
function tryDevices(set: () => void): void {
  try {
    set();
  } catch (error) {
    const code = errnoOf(error);
    if (
      code !== "EPERM" &&
      code !== "EACCES" &&
      !messageOf(error).includes("not permitted") &&
      !messageOf(error).includes("devices limit")
    )
      throw error;
  }
}

/** The directory that stands for the container: where its processes are counted and listed. */
export function mainDirectory(directories: Directories): string | undefined {
  return (
    directories["devices"] ??
    directories["pids"] ??
    directories["memory"] ??
    directories[""] ??
    Object.values(directories)[0]
  );
}

/** All processes of the container, those in sub-cgroups included. */
export function containerProcesses(directories: Directories): number[] {
  const main = mainDirectory(directories);
  return main ? cgroupProcesses(main).sort((a, b) => a - b) : [];
}

/** Removes every directory of the container, with those below. */
export async function removeCgroups(directories: Directories): Promise<void> {
  const errors: unknown[] = [];
  for (const directory of new Set(Object.values(directories))) {
    try {
      await removeCgroup(directory);
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw errors[0];
}

/** The file through which a single-threaded process joins a cgroup by writing 0, and its v2 parent. */
export function joinFile(layout: CgroupLayout, controller: string, directory: string): string {
  return join(directory, layout.mode === "v2" || controller === "" ? "cgroup.procs" : "tasks");
}
