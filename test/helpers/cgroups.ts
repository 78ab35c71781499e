import { type Dirent, readdirSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";

const root = "/sys/fs/cgroup";

/** Directories in a directory; none where it has just gone. */
function directories(path: string): string[] {
  let entries: Dirent[];
  try {
    entries = readdirSync(path, { withFileTypes: true });
  } catch {
    return [];
  }
  return entries.filter((entry) => entry.isDirectory()).map((entry) => join(path, entry.name));
}

function remove(path: string): void {
  for (const child of directories(path)) remove(child);
  try {
    rmdirSync(path);
  } catch (error) {
    // Where no controller is mounted, podman makes plain directories, and files in them.
    if ((error as NodeJS.ErrnoException).code === "ENOTEMPTY") rmSync(path, { recursive: true, force: true });
    // Otherwise something is still in it, or it has gone by itself.
  }
}

/**
 * Removes the empty cgroups below every controller whose names begin with `prefix`: a test's own. Runtimes remove a
 * container's cgroup and leave the directories above it.
 */
export function removeCgroups(prefix: string): void {
  for (const controller of directories(root))
    for (const path of directories(controller)) if (path.startsWith(join(controller, prefix))) remove(path);
}
