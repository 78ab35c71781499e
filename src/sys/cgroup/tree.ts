/** Making and removing cgroup directories, and the processes in them. */
import { mkdirSync, readdirSync, rmdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { sleep } from "../../base/async.ts";
import { asCortenError, CortenError } from "../../base/errors.ts";
import { errnoOf, errnoText, readControl, readControlIfPresent, writeControl } from "./files.ts";

/** Makes a directory and its parents below an existing hierarchy; returns those that were not there. */
export function makeCgroup(directory: string): string[] {
  try {
    mkdirSync(directory, 0o755);
    return [directory];
  } catch (error) {
    const code = errnoOf(error);
    if (code === "EEXIST") return [];
    if (code !== "ENOENT" || dirname(directory) === directory)
      throw new CortenError(asCortenError(error).code, `mkdir ${directory}: ${errnoText(error)}`, {
        cause: error,
      });
  }
  return [...makeCgroup(dirname(directory)), ...makeCgroup(directory)];
}

/** Makes a v1 cpuset directory; each new level takes over its parent's CPUs and nodes, or no process could join. */
export function makeCpuset(directory: string): string[] {
  const made = makeCgroup(directory);
  if (made.length === 0) inheritCpuset(directory, false);
  for (const level of made) inheritCpuset(level, true);
  return made;
}

/** A `fresh` directory has nothing yet, which need not be looked up. */
function inheritCpuset(directory: string, fresh: boolean): void {
  for (const file of ["cpuset.cpus", "cpuset.mems"]) {
    if (!fresh && readControlIfPresent(directory, file) !== "") continue;
    const parent = dirname(directory);
    let value = readControlIfPresent(parent, file);
    if (value === "") {
      inheritCpuset(parent, false);
      value = readControlIfPresent(parent, file);
    }
    if (value) writeControl(directory, file, value);
  }
}

/**
 * Makes a v2 directory with every available controller enabled on the way down.
 * `domain` says that controllers are asked for which a threaded subtree cannot have.
 */
export function makeUnifiedCgroup(mount: string, directory: string, domain: boolean): string[] {
  const made: string[] = [];
  const controllers = readControl(mount, "cgroup.controllers").split(" ").filter(Boolean);
  const steps = directory.slice(mount.length).split("/").filter(Boolean);
  let current = mount;
  try {
    for (const [index, step] of steps.entries()) {
      enableControllers(current, controllers);
      current = join(current, step);
      if (makeCgroup(current).length > 0) made.push(current);
      const type = readControlIfPresent(current, "cgroup.type");
      if (type === "domain invalid") {
        if (domain)
          throw new CortenError(
            "failed_precondition",
            `cannot enter cgroupv2 ${JSON.stringify(current)} with domain controllers -- it is in an invalid state`,
          );
        writeControl(current, "cgroup.type", "threaded");
      } else if (
        domain &&
        (type === "threaded" || (type === "domain threaded" && index === steps.length - 1))
      ) {
        throw new CortenError(
          "failed_precondition",
          `cannot enter cgroupv2 ${JSON.stringify(current)} with domain controllers -- it is in ${type} mode`,
        );
      }
    }
  } catch (error) {
    for (const path of made.toReversed()) removeCgroupIfEmpty(path);
    throw error;
  }
  return made;
}

function enableControllers(directory: string, controllers: string[]): void {
  if (controllers.length === 0) return;
  const enabled = new Set((readControlIfPresent(directory, "cgroup.subtree_control") ?? "").split(" "));
  const missing = controllers.filter((controller) => !enabled.has(controller)).map((name) => `+${name}`);
  if (missing.length === 0) return;
  try {
    writeControl(directory, "cgroup.subtree_control", missing.join(" "));
  } catch {
    // Not all of them may be delegated to us: take what we get. A limit that needs another fails when it is set.
    for (const one of missing) {
      try {
        writeControl(directory, "cgroup.subtree_control", one);
      } catch {}
    }
  }
}

/** Removes a cgroup without processes and others below it; false where it stays. */
export function removeCgroupIfEmpty(directory: string): boolean {
  try {
    rmdirSync(directory);
    return true;
  } catch (error) {
    return errnoOf(error) === "ENOENT";
  }
}

/** Removes a cgroup and those below it. Processes that are just dying keep it busy for a moment. */
export async function removeCgroup(directory: string): Promise<void> {
  let wait = 1;
  for (let attempt = 0; ; attempt++) {
    if (removeCgroupIfEmpty(directory)) return;
    let children: string[] = [];
    try {
      children = readdirSync(directory, { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map((entry) => join(directory, entry.name));
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return;
    }
    for (const child of children) await removeCgroup(child);
    if (removeCgroupIfEmpty(directory)) return;
    if (attempt === 12)
      throw new CortenError(
        "failed_precondition",
        `unable to remove cgroup ${directory}: device or resource busy`,
      );
    await sleep(wait);
    wait = Math.min(wait * 2, 200);
  }
}

/** The processes of a cgroup, and with `recursive` of those below it. */
export function cgroupProcesses(directory: string, recursive = true): number[] {
  let text: string | undefined;
  try {
    text = readControlIfPresent(directory, "cgroup.procs");
  } catch {
    // A threaded cgroup answers EOPNOTSUPP.
    text = readControlIfPresent(directory, "cgroup.threads");
  }
  const pids = (text ?? "").split("\n").filter(Boolean).map(Number);
  if (!recursive) return pids;
  let entries: string[] = [];
  try {
    entries = readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => join(directory, entry.name));
  } catch {
    return pids;
  }
  return entries.reduce((all, child) => all.concat(cgroupProcesses(child)), pids);
}
