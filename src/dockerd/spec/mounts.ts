import { invalid } from "../../base/errors.ts";
import type { Mount } from "../../oci/runtime-spec.ts";

/** A mount of a volume, bind or tmpfs after everything about it is decided. */
export interface ResolvedMount {
  type: "bind" | "tmpfs";
  source: string;
  destination: string;
  writable: boolean;
  recursive: boolean;
  /** Binds: a read-only one has nothing below it that is not. */
  recursiveReadOnly?: boolean;
  /** "" leaves it out, as Docker does for volumes. */
  propagation: string;
  /** tmpfs: its options as given. */
  data?: string;
}

const depth = (path: string) => path.split("/").filter(Boolean).length;

/** Shallow destinations first, so that none hides another; equal ones stay in the order given. */
export const byDepth = <T extends { destination: string }>(mounts: readonly T[]): T[] =>
  mounts
    .map((mount, index) => ({ mount, index }))
    .sort((a, b) => depth(a.mount.destination) - depth(b.mount.destination) || a.index - b.index)
    .map(({ mount }) => mount);

const tmpfsFlags = new Set(
  (
    "ro rw suid nosuid dev nodev exec noexec sync async dirsync remount mand nomand atime noatime diratime nodiratime bind " +
    "rbind unbindable runbindable private rprivate shared rshared slave rslave relatime norelatime strictatime nostrictatime defaults"
  ).split(" "),
);
const tmpfsValues = new Set("size mode uid gid nr_inodes nr_blocks mpol".split(" "));

/** The options of a tmpfs: Docker's defaults, replaced where the user says the opposite. */
export function tmpfsOptions(data: string): string[] {
  const options = ["noexec", "nosuid", "nodev", "rprivate"];
  const opposite: Record<string, string> = { exec: "noexec", suid: "nosuid", dev: "nodev" };
  for (const option of data.split(",").filter(Boolean)) {
    const name = option.split("=")[0]!;
    if (option.includes("=") ? !tmpfsValues.has(name) : !tmpfsFlags.has(name))
      throw invalid(`invalid tmpfs option ${JSON.stringify(option)}`);
    const undone = opposite[name];
    if (undone !== undefined) {
      const at = options.indexOf(undone);
      if (at >= 0) options.splice(at, 1);
    }
    if (!options.includes(option)) options.push(option);
  }
  return options;
}

export function toSpecMount(mount: ResolvedMount): Mount {
  if (mount.type === "tmpfs") {
    const options = tmpfsOptions(mount.data ?? "");
    if (!mount.writable && !options.includes("ro")) options.push("ro");
    return { destination: mount.destination, type: "tmpfs", source: "tmpfs", options };
  }
  const options = [mount.recursive ? "rbind" : "bind"];
  if (!mount.writable) options.push(mount.recursiveReadOnly ? "rro" : "ro");
  if (mount.propagation !== "") options.push(mount.propagation);
  return { destination: mount.destination, type: "bind", source: mount.source, options };
}

/** The mounts every container has. */
export function defaultMounts(): Mount[] {
  const mount = (destination: string, type: string, source: string, options: string): Mount => ({
    destination,
    type,
    source,
    options: options.split(","),
  });
  return [
    mount("/proc", "proc", "proc", "nosuid,noexec,nodev"),
    mount("/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
    mount("/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
    mount("/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro"),
    mount("/sys/fs/cgroup", "cgroup", "cgroup", "ro,nosuid,noexec,nodev"),
    mount("/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"),
    mount("/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777"),
  ];
}
