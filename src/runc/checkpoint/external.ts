/**
 * What of a container CRIU must not save, because it is the host's: bind mounts, masks, devices, joined namespaces, and the
 * pipes of stdio. The keys are runc's, so that either restores what the other has saved.
 */
import { readlinkSync, statSync } from "node:fs";
import { basename, isAbsolute, posix, resolve } from "node:path";
import type { LinuxNamespaceType, Spec } from "../../oci/runtime-spec.ts";
import { type CgroupLayout, errnoOf } from "../../sys/cgroup/index.ts";
import type { MountInfo } from "../../sys/mountinfo.ts";
import { O_PATH } from "../../sys/open.ts";
import { Rootfs } from "../../sys/rootfs/index.ts";
import type { Directories } from "../cgroup/manager.ts";
import { parseMountOptions } from "../compile/mount-options.ts";
import { Namespaces } from "../compile/namespaces.ts";

interface KeyValue {
  key: string;
  val: string;
}

export interface ExternalMount {
  /** Where it is in the container: its key. */
  destination: string;
  source: string;
}

/** The bind mounts of a container, those of a cgroup v1 mount without a cgroup namespace included. */
export function externalMounts(
  spec: Spec,
  bundle: string,
  rootfs: string,
  layout: CgroupLayout,
  cgroups: Directories,
): ExternalMount[] {
  using inside = new Rootfs(rootfs);
  const found: ExternalMount[] = [];
  for (const mount of spec.mounts ?? []) {
    const { bind } = parseMountOptions(mount.options ?? []);
    const destination = resolveInside(inside, mount.destination);
    if (bind || mount.type === "bind") {
      const source = mount.source ?? "";
      found.push({ destination, source: isAbsolute(source) ? source : resolve(bundle, source) });
    } else if (mount.type === "cgroup" && layout.mode !== "v2" && !new Namespaces(spec).has("cgroup")) {
      found.push(...cgroupBinds(destination, layout, cgroups));
    }
  }
  return found;
}

function cgroupBinds(path: string, layout: CgroupLayout, cgroups: Directories): ExternalMount[] {
  const binds = new Map<string, string>();
  for (const [controller, { directory }] of layout.mounts) {
    if (controller === "") continue;
    const target = posix.join(path, basename(directory));
    if (!binds.has(target)) binds.set(target, cgroups[controller] ?? directory);
  }
  return [...binds].map(([destination, source]) => ({ destination, source }));
}

/** The path a destination leads to in the rootfs; what is not there yet is taken as it is written. */
export function resolveInside(inside: Rootfs, destination: string): string {
  const parts = posix.normalize(`/${destination}`).split("/").filter(Boolean);
  const top = inside.with(".", O_PATH, (fd) => readlinkSync(`/proc/self/fd/${fd}`));
  for (let count = parts.length; count > 0; count--) {
    try {
      const found = inside.with(parts.slice(0, count).join("/"), O_PATH, (fd) =>
        readlinkSync(`/proc/self/fd/${fd}`),
      );
      return posix.join("/", found.slice(top === "/" ? 0 : top.length), ...parts.slice(count));
    } catch (error) {
      if (errnoName(error) !== "ENOENT" && errnoName(error) !== "ENOTDIR") throw error;
    }
  }
  return posix.join("/", ...parts);
}

const errnoName = (error: unknown) => (error as { errnoName?: string }).errnoName ?? errnoOf(error);

/**
 * Masked files are binds of a null device. Ours is the container's own, which CRIU saves with the container's /dev; where
 * it is another one (a /dev that is bound from outside) it is the host's.
 */
export function maskedMounts(spec: Spec, mounts: readonly MountInfo[]): KeyValue[] {
  const dev = mounts.findLast(({ mountPoint }) => mountPoint === "/dev");
  return (spec.linux?.maskedPaths ?? []).flatMap((path) => {
    const mask = mounts.findLast(({ mountPoint }) => mountPoint === posix.normalize(path));
    if (!mask || mask.root === "/" || (dev?.fsType === "tmpfs" && mask.device === dev.device)) return [];
    return [{ key: posix.normalize(path), val: nullDevice }];
  });
}

export const nullDevice = "/dev/null";

/** With a user namespace devices are binds of the host's. */
export function boundDevices(spec: Spec, mounts: readonly MountInfo[]): KeyValue[] {
  const paths = devicePaths(spec);
  return mounts
    .filter(({ mountPoint }) => paths.has(mountPoint))
    .map(({ mountPoint: path }) => ({ key: path, val: path }));
}

const defaultDevices = ["null", "zero", "full", "random", "urandom", "tty"].map((name) => `/dev/${name}`);

/** Every path at which there may be a device of the host. */
export function devicePaths(spec: Spec): Set<string> {
  return new Set([
    ...defaultDevices,
    ...(spec.linux?.devices ?? []).map(({ path }) => posix.normalize(path)),
  ]);
}

/** CRIU can leave these alone when they are joined by path; of all others it saves the content and joins at restore. */
export const leftAlone = ["network", "pid"] as const satisfies readonly LinuxNamespaceType[];

const shortName: Record<(typeof leftAlone)[number], string> = { network: "net", pid: "pid" };

/** runc's name for a namespace that is to be there at the restore. */
export const namespaceKey = (type: (typeof leftAlone)[number]) =>
  `extRoot${shortName[type] === "net" ? "Net" : "Pid"}NS`;

/** `net[4026532285]:extRootNetNS` for each namespace that was joined and is not the container's. */
export function externalNamespaces(spec: Spec): string[] {
  const namespaces = new Namespaces(spec);
  return leftAlone.flatMap((type) => {
    const path = namespaces.pathOf(type);
    return path ? [`${shortName[type]}[${statSync(path).ino}]:${namespaceKey(type)}`] : [];
  });
}
