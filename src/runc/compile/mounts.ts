/** `mounts` of the configuration → operations, in their order. */
import { lstatSync, statSync } from "node:fs";
import { basename, isAbsolute, join, normalize, resolve } from "node:path";
import { CortenError, invalid } from "../../base/errors.ts";
import type { Slot } from "../../monitor/ops.gen.ts";
import type { LinuxIDMapping, Mount, Spec } from "../../oci/runtime-spec.ts";
import { errnoText } from "../../sys/cgroup/index.ts";
import { rawSyscall } from "../../sys/libc.ts";
import type { PlannedOperation } from "../plan/encode.ts";
import { type CompileContext, child, inStage } from "./context.ts";
import { attribute, type MountOptions, parseMountOptions } from "./mount-options.ts";

export interface CompiledMounts {
  mount: PlannedOperation[];
  /** After everything inside was made: what is to be read-only at last. */
  seal: PlannedOperation[];
  /** True when a bind at /dev brings the devices along. */
  devBound: boolean;
}

export function compileMounts(context: CompileContext): CompiledMounts {
  const result: CompiledMounts = { mount: [], seal: [], devBound: false };
  for (const [index, mount] of (context.spec.mounts ?? []).entries()) {
    const reason = `mounts[${index}]`;
    const options = parseMountOptions(mount.options ?? []);
    const path = normalize(`/${mount.destination}`);
    const type = options.bind || mount.type === "bind" ? "bind" : (mount.type ?? "none");
    try {
      if (type === "bind") {
        result.mount.push(...bindMount(context, mount, path, options, reason));
        if (path === "/dev") result.devBound = true;
      } else if (type === "cgroup" || type === "cgroup2") {
        const { mount: some, seal } = cgroupMount(context, path, options, reason);
        result.mount.push(...some);
        result.seal.push(...seal);
      } else {
        const { mount: some, seal } = filesystemMount(context, mount, type, path, options, reason);
        result.mount.push(...some);
        result.seal.push(...seal);
      }
    } catch (error) {
      if (!(error instanceof CortenError)) throw error;
      throw new CortenError(
        error.code,
        `error mounting ${JSON.stringify(mount.source ?? "")} to rootfs at ${JSON.stringify(mount.destination)}: ${error.message}`,
        { cause: error },
      );
    }
  }
  return result;
}

/** Filesystems without a device: read-only is an attribute of the mount, not of the filesystem. */
export const virtual = new Set(["proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2", "ramfs"]);

function filesystemMount(
  context: CompileContext,
  mount: Mount,
  type: string,
  path: string,
  options: MountOptions,
  reason: string,
): { mount: PlannedOperation[]; seal: PlannedOperation[] } {
  const { root } = context;
  if (type === "none" && !mount.source) throw invalid("mount without type or source");
  const strict = type === "proc" || type === "sysfs";
  if (!strict) refuseInsideProc(path, () => type === "proc");
  // What is inside a tmpfs (and /dev) is made first; it becomes read-only at the end.
  const sealed = (options.set & attribute.ro) !== 0 && (type === "tmpfs" || path === "/dev");
  const attributes = sealed ? options.set & ~attribute.ro : options.set;
  const data = options.data.filter((entry) => !(type === "mqueue" && /^(mode|size)=/.test(entry)));
  if ((options.set & attribute.ro) !== 0 && !virtual.has(type)) data.push("ro");
  // The kernel labels what is in proc and sysfs itself; mqueue takes no context (see mqueuesToLabel()).
  if (!strict && type !== "mqueue") data.push(...labelOption(context, data, mount.source));
  const filled = context.filledTmpfs.get(mount);
  const operations: PlannedOperation[] = [
    filled !== undefined
      ? child(reason, { op: "bind", tree: filled, root, path, kind: 1 })
      : child(reason, {
          op: "mount",
          root,
          path,
          fstype: type,
          ...(mount.source && { source: mount.source }),
          options: data,
          attributes,
          ...(strict && { strict: 1 }),
        }),
  ];
  operations.push(...afterwards(context, path, options, reason));
  const seal = sealed ? [child(reason, { op: "remount", root, path, set: attribute.ro })] : [];
  return { mount: operations, seal };
}

/** fsconfig(2) takes values of up to 255 bytes; native/mount.c leaves longer ones to mount(2). */
const longOption = 200;
const ENOSYS = -38;

/**
 * linux.mountLabel for a new filesystem's files (mount(8), context=). fsconfig(2) takes the label as it is; in the one
 * string of mount(2) the commas of its level need quotes.
 */
function labelOption({ spec }: CompileContext, others: readonly string[] = [], source = ""): string[] {
  const label = spec.linux?.mountLabel;
  if (!label) return [];
  const classic =
    [...others, source].some((text) => Buffer.byteLength(text) > longOption) ||
    rawSyscall("fsopen", null, 0) === ENOSYS;
  return [classic ? `context="${label}"` : `context=${label}`];
}

/** Places of mqueue, whose root gets linux.mountLabel when it is mounted: as an attribute. */
export const mqueuesToLabel = ({ mounts = [], linux }: Spec): string[] =>
  linux?.mountLabel
    ? mounts
        .filter(({ type, options = [] }) => type === "mqueue" && !parseMountOptions(options).bind)
        .map(({ destination }) => normalize(`/${destination}`))
    : [];

/** Propagation and recursive attributes, which come after the mount itself. */
function afterwards(
  { root }: CompileContext,
  path: string,
  options: MountOptions,
  reason: string,
): PlannedOperation[] {
  const operations: PlannedOperation[] = options.propagation.map((flags) =>
    child(reason, { op: "propagation", root, path, flags }),
  );
  if (options.recursiveSet || options.recursiveClear)
    operations.push(
      child(reason, {
        op: "remount",
        root,
        path,
        set: options.recursiveSet,
        clear: options.recursiveClear,
        recursive: 1,
      }),
    );
  return operations;
}

function bindMount(
  context: CompileContext,
  mount: Mount,
  path: string,
  options: MountOptions,
  reason: string,
): PlannedOperation[] {
  const { root, bundle } = context;
  if (!mount.source) throw invalid("bind mount without source");
  const source = isAbsolute(mount.source) ? mount.source : resolve(bundle, mount.source);
  checkBindSource(source, path, context.planned ?? false);
  const slot = idmapSlot(context, mount, options, reason);
  const idmap = slot !== undefined && { idmap: slot, idmapRecursive: options.idmap === "ridmap" ? 1 : 0 };
  const tree = context.namespaces.has("user")
    ? openTreeEarly(context, { path: source, recursive: options.recursive ? 1 : 0, ...idmap }, reason)
    : undefined;
  // Options that only clear something ("rw") do not loosen a source that is read-only on the host.
  const changes = options.set !== 0 || (options.clear & 0x70) !== 0;
  const operation: PlannedOperation = {
    op: "bind",
    root,
    path,
    ...(tree === undefined ? { source, ...idmap } : { tree }),
    recursive: options.recursive ? 1 : 0,
    ...(changes && { set: options.set, clear: options.clear }),
    ...(options.recursiveSet && { recursiveSet: options.recursiveSet }),
    ...(options.recursiveClear && { recursiveClear: options.recursiveClear }),
    ...(options.propagation[0] && { propagation: options.propagation[0] }),
  };
  const more = options.propagation
    .slice(1)
    .map((flags) => child(reason, { op: "propagation", root, path, flags }));
  return [child(reason, operation), ...more];
}

/** The mapped root may not be able to reach the source, nor to map it: we do that, the container moves it into place. */
function openTreeEarly(
  context: CompileContext,
  source: { path: string; recursive: number; idmap?: Slot; idmapRecursive?: number },
  reason: string,
): Slot {
  const out = context.builder.slot();
  context.stage.push(inStage(reason, { op: "openTree", out, ...source }));
  return out;
}

/** /proc/pid/uid_map's text. */
export function mapText(mappings: readonly LinuxIDMapping[]): string {
  return mappings.map(({ containerID, hostID, size }) => `${containerID} ${hostID} ${size}\n`).join("");
}

function idmapSlot(
  context: CompileContext,
  mount: Mount,
  options: MountOptions,
  reason: string,
): Slot | undefined {
  const linux = context.spec.linux ?? {};
  const own = Boolean(mount.uidMappings?.length || mount.gidMappings?.length);
  if (!own && options.idmap === "none") return undefined;
  const uids = own ? mount.uidMappings : linux.uidMappings;
  const gids = own ? mount.gidMappings : linux.gidMappings;
  if (!uids?.length || !gids?.length)
    throw invalid("idmapped mount needs both uidMappings and gidMappings, or a user namespace");
  const out = context.builder.slot();
  context.stage.push(
    inStage(reason, { op: "userNamespace", out, uidMap: mapText(uids), gidMap: mapText(gids) }),
  );
  return out;
}

/** Files that lxcfs and its like put below /proc. */
const allowedInProc = new Set(
  "cpuinfo diskstats meminfo stat swaps uptime loadavg slabinfo net/dev sys/kernel/ns_last_pid"
    .split(" ")
    .map((name) => `/proc/${name}`),
);

function refuseInsideProc(path: string, isProc: () => boolean): void {
  if (path !== "/proc" && !path.startsWith("/proc/")) return;
  if (path === "/proc" ? isProc() : allowedInProc.has(path)) return;
  throw invalid(
    path === "/proc"
      ? `${JSON.stringify(path)} cannot be mounted because it is not of type proc`
      : `${JSON.stringify(path)} cannot be mounted because it is inside /proc`,
  );
}

function checkBindSource(source: string, path: string, planned: boolean): void {
  try {
    statSync(source);
  } catch (error) {
    if (planned) return;
    throw new CortenError("not_found", `stat ${source}: ${errnoText(error)}`, { cause: error });
  }
  // A bind of another procfs at /proc is fine: its root has inode 1 and a `self` link to a number.
  refuseInsideProc(path, () => isProcfs(source));
}

function isProcfs(path: string): boolean {
  try {
    return lstatSync(join(path, "self")).isSymbolicLink() && statSync(path).ino === 1;
  } catch {
    return false;
  }
}

const cgroupAttributes = attribute.nosuid | attribute.nodev | attribute.noexec;

/** A cgroup mount shows the container's own part of each hierarchy, with or without a cgroup namespace. */
function cgroupMount(
  context: CompileContext,
  path: string,
  options: MountOptions,
  reason: string,
): { mount: PlannedOperation[]; seal: PlannedOperation[] } {
  const { root, layout, namespaces } = context;
  const readonly = options.set & attribute.ro;
  if (layout.mode === "v2") {
    const directory = layout.mounts.get("")!.directory;
    const bound = namespaces.has("user") && !namespaces.has("cgroup");
    const operation: PlannedOperation = bound
      ? { op: "bind", root, path, source: directory, recursive: 1, set: options.set }
      : { op: "mount", root, path, fstype: "cgroup2", source: "cgroup", attributes: options.set };
    return { mount: [child(reason, operation), ...afterwards(context, path, options, reason)], seal: [] };
  }
  const mount: PlannedOperation[] = [
    child(reason, {
      op: "mount",
      root,
      path,
      fstype: "tmpfs",
      source: "tmpfs",
      options: ["mode=755", ...labelOption(context)],
      attributes: cgroupAttributes,
    }),
  ];
  const hierarchies = new Map<string, { names: string[]; own: string | undefined }>();
  for (const [controller, { directory }] of layout.mounts) {
    if (controller === "") continue;
    const known = hierarchies.get(directory);
    if (known) known.names.push(controller);
    else hierarchies.set(directory, { names: [controller], own: context.cgroups[controller] });
  }
  for (const [directory, { names, own }] of hierarchies) {
    const target = join(path, basename(directory));
    if (namespaces.has("cgroup")) {
      mount.push(
        child(reason, {
          op: "mount",
          root,
          path: target,
          fstype: "cgroup",
          source: names[0]?.startsWith("name=") ? names[0].slice("name=".length) : "cgroup",
          options: names.some((name) => name.startsWith("name=")) ? ["none", ...names] : names,
          attributes: cgroupAttributes | readonly,
        }),
      );
    } else {
      mount.push(
        child(reason, {
          op: "bind",
          root,
          path: target,
          source: own ?? directory,
          recursive: 1,
          set: cgroupAttributes | readonly,
        }),
      );
    }
    if (names.length > 1)
      for (const name of names)
        mount.push(
          child(reason, { op: "symlink", root, path: join(path, name), target: basename(directory) }),
        );
  }
  const seal = readonly ? [child(reason, { op: "remount", root, path, set: attribute.ro })] : [];
  mount.push(...afterwards(context, path, options, reason));
  return { mount, seal };
}
