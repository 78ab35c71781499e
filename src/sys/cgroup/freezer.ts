import { sleep } from "../../base/async.ts";
import { CortenError } from "../../base/errors.ts";
import { readControl, readControlIfPresent, writeControl } from "./files.ts";

/** Directories by controller, as `cgroupDirectories` gives them. */
type Directories = Readonly<Record<string, string>>;

/** Where the freezer of these directories is; undefined when there is none. */
function freezerOf(directories: Directories): { version: 1 | 2; directory: string } | undefined {
  const v1 = directories["freezer"];
  if (v1) return { version: 1, directory: v1 };
  const v2 = directories[""];
  return v2 && Object.keys(directories).length === 1 ? { version: 2, directory: v2 } : undefined;
}

/** True when this cgroup itself is frozen (not merely one above it). */
export function isFrozen(directories: Directories): boolean {
  const freezer = freezerOf(directories);
  if (!freezer) return false;
  if (freezer.version === 2) return readControlIfPresent(freezer.directory, "cgroup.freeze") === "1";
  const state = readControlIfPresent(freezer.directory, "freezer.state");
  if (state === undefined || state === "THAWED") return false;
  return readControlIfPresent(freezer.directory, "freezer.self_freezing") !== "0";
}

/** Freezes every process, or thaws the cgroup again when that does not succeed. */
export async function freeze(directories: Directories): Promise<void> {
  const freezer = freezerOf(directories);
  if (!freezer)
    throw new CortenError(
      "failed_precondition",
      "cannot toggle freezer: cgroups not configured for container",
    );
  const { directory } = freezer;
  try {
    if (freezer.version === 2) {
      writeControl(directory, "cgroup.freeze", "1");
      for (let attempt = 0; attempt < 1000; attempt++) {
        if (/^frozen 1$/m.test(readControl(directory, "cgroup.events"))) return;
        await sleep(attempt < 20 ? 1 : 10);
      }
      throw new CortenError("deadline_exceeded", `timeout waiting for the cgroup ${directory} to freeze`);
    }
    // v1 can stay at FREEZING while processes keep coming: asking again, and now and then thawing, gets it through.
    for (let attempt = 0; attempt < 1000; attempt++) {
      if (attempt % 50 === 49) {
        writeControl(directory, "freezer.state", "THAWED");
        await sleep(10);
      }
      writeControl(directory, "freezer.state", "FROZEN");
      if (readControl(directory, "freezer.state") === "FROZEN") return;
      if (attempt % 5 === 4) await sleep(1);
    }
    throw new CortenError("deadline_exceeded", `unable to freeze ${directory}`);
  } catch (error) {
    try {
      thaw(directories);
    } catch {}
    throw error;
  }
}

/** Lets the processes run again. */
export function thaw(directories: Directories): void {
  const freezer = freezerOf(directories);
  if (!freezer)
    throw new CortenError(
      "failed_precondition",
      "cannot toggle freezer: cgroups not configured for container",
    );
  if (freezer.version === 2) writeControl(freezer.directory, "cgroup.freeze", "0");
  else writeControl(freezer.directory, "freezer.state", "THAWED");
}
