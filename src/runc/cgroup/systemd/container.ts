/** A container as a unit of systemd: start, change, stop. Its cgroup is systemd's to make and ours to fill in. */
import { asCortenError, CortenError, invalid, isCode, messageOf } from "../../../base/errors.ts";
import { span } from "../../../base/trace.ts";
import type { LinuxResources, Spec } from "../../../oci/runtime-spec.ts";
import {
  type CgroupLayout,
  cgroupDirectoriesOf,
  freeze,
  isFrozen,
  thaw,
  writeControl,
} from "../../../sys/cgroup/index.ts";
import type { Warn } from "../../types.ts";
import { checkExisting, type Directories, makeCgroups, removeCgroups } from "../manager.ts";
import { checkMemoryUsage } from "../v2.ts";
import { annotatedProperties } from "./annotations.ts";
import { requireSystemd, withSystemd } from "./client.ts";
import { type Property, property, resourceProperties } from "./properties.ts";
import { type Unit, unitOf } from "./unit.ts";

export interface UnitInput {
  spec: Spec;
  id: string;
  layout: CgroupLayout;
  directories: Directories;
  resources: LinuxResources;
  warn: Warn;
}

/** What every container's unit is told, whatever its limits. */
function unitProperties(unit: Unit, id: string, pid: number, unified: boolean): Property[] {
  const on = (name: string) => property(name, "b", true);
  return [
    property("Description", "s", `container ${id}`),
    property("Slice", "s", unit.slice),
    on("Delegate"),
    property("PIDs", "au", [pid]),
    on("MemoryAccounting"),
    on("CPUAccounting"),
    on(unified ? "IOAccounting" : "BlockIOAccounting"),
    on("TasksAccounting"),
    // The container goes when its manager says so, not when systemd thinks of shutting down.
    property("DefaultDependencies", "b", false),
  ];
}

/** What a new container needs of systemd; fails at once, and with nothing made, where it can be seen that it will. */
export function prepareUnit(input: UnitInput) {
  requireSystemd();
  const { name } = unitOf(input.spec, input.id);
  if (!name.endsWith(".scope")) throw invalid(`systemd has no processes in a slice: ${name}`);
  annotatedProperties(input.spec.annotations);
  let made = false;
  return {
    name,
    start: (pid: number) =>
      span("runc", "start unit", async () => {
        made = true;
        try {
          await startUnit(input, pid);
        } catch (error) {
          // Another container's, which goes on.
          if (isCode(error, "already_exists")) made = false;
          throw error;
        }
      }),
    undo: async () => {
      if (!made) return;
      await withSystemd((systemd) => systemd.stopUnit(name)).catch((error) =>
        input.warn(`stop unit: ${messageOf(error)}`),
      );
      await removeCgroups(input.directories);
    },
  };
}

/**
 * Starts the unit with the container's first process, which waits, in it, and sets what systemd does not.
 * The directories exist afterwards.
 */
async function startUnit(input: UnitInput, pid: number): Promise<void> {
  const { spec, id, layout, directories, warn } = input;
  const unit = unitOf(spec, id);
  const unified = layout.mode === "v2";
  const annotated = annotatedProperties(spec.annotations);
  checkExisting(directories, { id, warn });
  const resources = await withSystemd(async (systemd) => {
    const version = await systemd.version();
    const translated = resourceProperties(input.resources, { unified, version, warn });
    const group = unified ? oomPolicy(input.resources, version) : [];
    const properties = [
      ...unitProperties(unit, id, pid, unified),
      ...translated.properties,
      ...annotated,
      ...group,
    ];
    await systemd.startTransientUnit(unit.name, properties).catch((error) => {
      throw new CortenError(
        asCortenError(error).code,
        `unable to start unit ${JSON.stringify(unit.name)}: ${messageOf(error)}`,
        { cause: error },
      );
    });
    return translated.resources;
  });
  await makeCgroups(layout, directories, resources, {
    id,
    ignorePermission: false,
    explicitPath: true,
    checked: true,
    warn,
  });
  joinOthers(layout, directories, pid);
}

/** What the OOM killer ends cannot be changed later. */
function oomPolicy({ unified }: LinuxResources, version: number): Property[] {
  const group = unified?.["memory.oom.group"]?.trim();
  if (version < 253 || (group !== "0" && group !== "1")) return [];
  return [property("OOMPolicy", "s", group === "1" ? "kill" : "continue")];
}

/** systemd v1 moves a process only in the hierarchies it uses; its own is nobody else's to write. */
function joinOthers(layout: CgroupLayout, directories: Directories, pid: number): void {
  const present = cgroupDirectoriesOf(layout, pid);
  for (const [controller, directory] of Object.entries(directories))
    if (present[controller] !== directory && controller !== "name=systemd")
      writeControl(directory, "cgroup.procs", String(pid));
}

/**
 * Tells systemd of changed limits and returns what is to be written to the files. `merged` are all limits after the
 * change; device rules are told only when they are part of it.
 */
export async function updateUnit(
  { spec, id, layout, directories, resources, warn }: UnitInput,
  merged: LinuxResources,
): Promise<LinuxResources> {
  const unified = layout.mode === "v2";
  // A limit below what is used would end processes, and the unit with them, before our own check refuses it.
  if (unified && directories[""]) checkMemoryUsage(directories[""], resources.memory);
  const { devices: _, ...others } = merged;
  const all: LinuxResources = { ...others, ...(resources.devices && { devices: resources.devices }) };
  // systemd denies everything for a moment when it sets device rules on v1.
  const hold = !unified && resources.devices !== undefined && !isFrozen(directories);
  if (hold) await freeze(directories);
  try {
    return await withSystemd(async (systemd) => {
      const target = { unified, version: await systemd.version(), warn };
      const { properties, resources: rounded } = resourceProperties(all, target);
      await systemd.setProperties(unitOf(spec, id).name, properties);
      const { quota = 0, period = 0 } = rounded.cpu ?? {};
      // Both of them, when one is changed: with no quota systemd has put its own period there.
      if (!resources.cpu?.quota && !resources.cpu?.period) return resources;
      return { ...resources, cpu: { ...resources.cpu, quota, period } };
    });
  } finally {
    if (hold) thaw(directories);
  }
}

/** Stops the unit: systemd ends what is left in it, and forgets it. */
export async function stopUnit(spec: Spec, id: string): Promise<void> {
  const { name } = unitOf(spec, id);
  await withSystemd((systemd) => systemd.stopUnit(name));
}
