/** What a run of the tests leaves on the machine: compared before and after, and told at its end. */
import { readdirSync, readFileSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const cgroups = "/sys/fs/cgroup";

function names(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function directories(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch {
    return [];
  }
}

/** What is there now of all that tests make outside of their processes. */
export function traces(): Set<string> {
  const temporary = tmpdir();
  const mounts = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((path) => path.startsWith(`${temporary}/`));
  const groups = directories(cgroups).flatMap((controller) => directories(join(cgroups, controller)));
  return new Set([
    ...groups.map((name) => `cgroup ${name}`),
    ...names("/run/netns").map((name) => `network namespace ${name}`),
    ...names("/sys/class/net").map((name) => `interface ${name}`),
    ...mounts.map((path) => `mount ${path}`),
    ...names(temporary)
      .filter((name) => name.startsWith("corten-"))
      .map((name) => `directory ${join(temporary, name)}`),
  ]);
}

/** Cgroups that daemons make for all their containers and leave: no test can tell whether another uses one. */
export const shared = ["buildkit", "default", "docker", "k8s.io", "libpod_parent", "moby"];

function removeEmpty(path: string): void {
  for (const name of directories(path)) removeEmpty(join(path, name));
  try {
    rmdirSync(path);
  } catch {
    // Something is in it.
  }
}

/** What has come since `before`, without the parents of cgroups that daemons share: those go now if they are empty. */
export function leftSince(before: ReadonlySet<string>): string[] {
  for (const name of shared)
    if (!before.has(`cgroup ${name}`))
      for (const controller of directories(cgroups)) removeEmpty(join(cgroups, controller, name));
  return [...traces()].filter((trace) => !before.has(trace)).sort();
}
