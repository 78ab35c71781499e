import { readFileSync } from "node:fs";
import { join, posix } from "node:path";

/**
 * What this machine's cgroups look like. `mounts` has the directory of each hierarchy by controller; the
 * name of a v2 tree is "", a v1 hierarchy without controller is `name=systemd`.
 *  - v1: controllers mounted one by one; hybrid: that, and an empty v2 tree at …/unified; v2: one tree.
 */
export interface CgroupLayout {
  mode: "v1" | "hybrid" | "v2";
  mounts: ReadonlyMap<string, CgroupMount>;
  /** Our own cgroup by controller, as /proc/self/cgroup has it. */
  own: ReadonlyMap<string, string>;
}

export interface CgroupMount {
  directory: string;
  /** The part of the hierarchy that is visible here: "/" but in a container without cgroup namespace. */
  root: string;
}

/** Controllers of v1 in the order in which runc handles them; those not mounted are left out. */
export const v1Controllers = [
  "cpuset",
  "devices",
  "memory",
  "cpu",
  "cpuacct",
  "pids",
  "blkio",
  "hugetlb",
  "net_cls",
  "net_prio",
  "perf_event",
  "freezer",
  "rdma",
  "name=systemd",
  "misc",
] as const;

const known = new Set<string>(v1Controllers);

/** Reads a layout from the text of /proc/self/mountinfo and /proc/self/cgroup (proc(5), cgroups(7)). */
export function parseLayout(mountinfo: string, selfCgroup: string): CgroupLayout {
  const mounts = new Map<string, CgroupMount>();
  let v1 = false;
  for (const line of mountinfo.split("\n")) {
    const separator = line.indexOf(" - ");
    if (separator < 0) continue;
    const [type, , options = ""] = line.slice(separator + 3).split(" ");
    if (type !== "cgroup" && type !== "cgroup2") continue;
    const fields = line.slice(0, separator).split(" ");
    const mount = { root: unescapeOctal(fields[3]!), directory: unescapeOctal(fields[4]!) };
    if (type === "cgroup2") {
      if (!mounts.has("")) mounts.set("", mount);
      continue;
    }
    v1 = true;
    for (const option of options.split(","))
      if (known.has(option) && !mounts.has(option)) mounts.set(option, mount);
  }
  const own = new Map<string, string>();
  for (const line of selfCgroup.split("\n")) {
    const [, controllers, path] = line.match(/^\d+:([^:]*):(.*)$/) ?? [];
    if (path === undefined) continue;
    for (const controller of controllers!.split(",")) own.set(controller, path);
  }
  const hybrid = mounts.get("")?.directory.endsWith("/unified") ?? false;
  if (v1 && !hybrid) mounts.delete("");
  return { mode: v1 ? (hybrid ? "hybrid" : "v1") : "v2", mounts, own };
}

/** Octal escapes of mountinfo. */
const unescapeOctal = (text: string) =>
  text.includes("\\")
    ? text.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8)))
    : text;

let current: CgroupLayout | undefined;

/** The layout of this machine; read once, but our own cgroup, which may change, whenever somebody asks. */
export function cgroupLayout(): CgroupLayout {
  current ??= parseLayout(readFileSync("/proc/self/mountinfo", "utf8"), "");
  const { mode, mounts } = current;
  return {
    mode,
    mounts,
    get own() {
      return parseLayout("", readFileSync("/proc/self/cgroup", "utf8")).own;
    },
  };
}

/**
 * The container's directory in each hierarchy. An absolute path starts at the hierarchies' mount points, a
 * relative one at our own cgroup. `..` cannot leave either.
 */
export function cgroupDirectories(layout: CgroupLayout, cgroupsPath: string): Record<string, string> {
  const inner = posix.normalize(`/${cgroupsPath}`);
  const directories: Record<string, string> = {};
  const controllers = layout.mode === "v2" ? [""] : [...v1Controllers, ""];
  for (const controller of controllers) {
    const mount = layout.mounts.get(controller);
    if (!mount) continue;
    directories[controller] = cgroupsPath.startsWith("/")
      ? join(mount.directory, inner)
      : join(mount.directory, belowRoot(mount.root, layout.own.get(controller) ?? "/"), inner);
  }
  return directories;
}

/** Our own path as seen through a mount that shows only a part of the hierarchy. */
function belowRoot(root: string, path: string): string {
  const relative = posix.relative(root, path);
  return relative.startsWith("..") ? "/" : relative;
}

/** The directories where the processes of `pid` are, by controller, for cgroup mounts and exec in a sub-cgroup. */
export function cgroupDirectoriesOf(layout: CgroupLayout, pid: number): Record<string, string> {
  const { own } = parseLayout("", readFileSync(`/proc/${pid}/cgroup`, "utf8"));
  const directories: Record<string, string> = {};
  for (const [controller, mount] of layout.mounts) {
    const path = own.get(controller);
    if (path !== undefined) directories[controller] = join(mount.directory, belowRoot(mount.root, path));
  }
  return directories;
}
