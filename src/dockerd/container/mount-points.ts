import { existsSync } from "node:fs";
import { posix } from "node:path";
import { invalid } from "../../base/errors.ts";
import type { ContainerConfig, HostConfig, Mount } from "../../engine/types.ts";
import { tmpfsOptions } from "../spec/mounts.ts";
import type { MountRecord } from "./container.ts";
import type { ContainerStore } from "./store.ts";

/** A volume that is wanted, before the volume exists. */
export interface MountPlan extends MountRecord {
  volume?: {
    name?: string;
    driver?: string;
    labels?: Record<string, string>;
    options?: Record<string, string>;
  };
}

const propagations = new Set(["shared", "slave", "private", "rshared", "rslave", "rprivate"]);
const consistencies = new Set(["consistent", "cached", "delegated", "default"]);
const namePattern = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

/** All mount points of a container, in Docker's order: --volumes-from, -v, --mount, the image's volumes. */
export function planMounts(
  config: ContainerConfig,
  host: HostConfig,
  containers: ContainerStore,
): MountPlan[] {
  const plans = new Map<string, MountPlan>();
  const fromOthers = new Set<string>();
  for (const spec of host.VolumesFrom ?? [])
    for (const plan of volumesFrom(spec, containers)) {
      plans.set(plan.destination, plan);
      fromOthers.add(plan.destination);
    }
  const tmpfs = new Map(
    Object.entries(host.Tmpfs ?? {}).map(([path, data]) => [destinationOf(path, path), data] as const),
  );
  for (const data of tmpfs.values()) tmpfsOptions(data);
  const add = (plan: MountPlan) => {
    if ((plans.has(plan.destination) && !fromOthers.has(plan.destination)) || tmpfs.has(plan.destination))
      throw invalid(`Duplicate mount point: ${plan.destination}`);
    fromOthers.delete(plan.destination);
    plans.set(plan.destination, plan);
  };
  for (const bind of host.Binds ?? []) add(parseBind(bind, host.VolumeDriver));
  for (const mount of host.Mounts ?? []) add(parseMount(mount));
  for (const path of Object.keys(config.Volumes ?? {})) {
    const destination = destinationOf(path, path);
    if (plans.has(destination) || tmpfs.has(destination)) continue;
    plans.set(destination, {
      type: "volume",
      source: "",
      destination,
      mode: "",
      writable: true,
      propagation: "",
      recursive: true,
      anonymous: true,
      volume: host.VolumeDriver ? { driver: host.VolumeDriver } : {},
    });
  }
  return [...plans.values()];
}

function destinationOf(path: string, spec: string): string {
  if (!path.startsWith("/"))
    throw invalid(
      `invalid volume specification: '${spec}': invalid mount config for type "volume": invalid mount path: '${path}' mount path must be absolute`,
    );
  const clean = posix.normalize(path).replace(/(.)\/$/, "$1");
  if (clean === "/") throw invalid(`invalid volume specification: '${spec}': destination can't be '/'`);
  return clean;
}

/** `[source:]destination[:mode]` of `-v`. */
export function parseBind(spec: string, volumeDriver: string): MountPlan {
  const parts = spec.split(":");
  const bad = (why = "") => invalid(`invalid volume specification: '${spec}'${why ? `: ${why}` : ""}`);
  let source = "";
  let path: string;
  let mode = "";
  if (parts.length === 1) path = parts[0]!;
  else if (parts.length === 2) {
    if (!parts[1]!.startsWith("/") && parts[0]!.startsWith("/") && isMode(parts[1]!)) {
      path = parts[0]!;
      mode = parts[1]!;
    } else [source, path] = parts as [string, string];
  } else if (parts.length === 3) [source, path, mode] = parts as [string, string, string];
  else throw bad();
  if (parts.length > 1 && source === "" && !isMode(mode)) throw bad();
  if (path === "") throw bad();
  if (!path.startsWith("/"))
    throw bad(
      `invalid mount config for type "${source.startsWith("/") ? "bind" : "volume"}": invalid mount path: '${path}' mount path must be absolute`,
    );
  const destination = destinationOf(path, spec);
  const isBind = source.startsWith("/");
  const flags = parseMode(mode, isBind);
  if (!isBind && mode.split(",").some((option) => propagations.has(option)))
    throw bad('invalid mount config for type "volume": field BindOptions must not be specified');
  if (!flags) throw invalid(`invalid mode: ${mode}`);
  if (isBind)
    return {
      type: "bind",
      source: posix.normalize(source).replace(/(.)\/$/, "$1"),
      destination,
      mode,
      writable: flags.writable,
      propagation: flags.propagation || "rprivate",
      recursive: true,
      createSource: true,
    };
  if (source !== "" && !namePattern.test(source))
    throw invalid(
      `create ${source}: ${JSON.stringify(source)} includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`,
    );
  return {
    type: "volume",
    source: "",
    destination,
    mode: mode || "z",
    writable: flags.writable,
    propagation: "",
    recursive: true,
    noCopy: flags.noCopy,
    anonymous: source === "",
    volume: { ...(source === "" ? {} : { name: source }), ...(volumeDriver ? { driver: volumeDriver } : {}) },
  };
}

const isMode = (text: string) => parseMode(text, true) !== undefined || parseMode(text, false) !== undefined;

function parseMode(
  mode: string,
  bind: boolean,
): { writable: boolean; propagation: string; noCopy: boolean } | undefined {
  const out = { writable: true, propagation: "", noCopy: false };
  if (mode === "") return out;
  const seen = { access: 0, label: 0, propagation: 0, consistency: 0, copy: 0 };
  for (const option of mode.split(",")) {
    if (option === "ro" || option === "rw") {
      seen.access++;
      out.writable = option === "rw";
    } else if (option === "z" || option === "Z") seen.label++;
    else if (propagations.has(option) && bind) {
      seen.propagation++;
      out.propagation = option;
    } else if (consistencies.has(option)) seen.consistency++;
    else if (option === "nocopy" && !bind) {
      seen.copy++;
      out.noCopy = true;
    } else return undefined;
  }
  return Object.values(seen).some((count) => count > 1) ? undefined : out;
}

/** An entry of `HostConfig.Mounts`. */
export function parseMount(mount: Mount): MountPlan {
  const type = mount.Type ?? ("" as string);
  const bad = (why: string) => invalid(`invalid mount config for type ${JSON.stringify(type)}: ${why}`);
  if (!mount.Target) throw bad("field Target must not be empty");
  if (!mount.Target.startsWith("/"))
    throw bad(`invalid mount path: '${mount.Target}' mount path must be absolute`);
  const destination = posix.normalize(mount.Target).replace(/(.)\/$/, "$1");
  if (destination === "/") throw bad("invalid specification: destination can't be '/'");
  const common = { destination, mode: "", writable: !mount.ReadOnly, recursive: true };
  switch (type) {
    case "bind": {
      if (!mount.Source) throw bad("field Source must not be empty");
      if (mount.VolumeOptions) throw bad("field VolumeOptions must not be specified");
      if (mount.TmpfsOptions) throw bad("field TmpfsOptions must not be specified");
      if (!mount.Source.startsWith("/"))
        throw bad(`invalid mount path: '${mount.Source}' mount path must be absolute`);
      const propagation = mount.BindOptions?.Propagation ?? "";
      if (propagation !== "" && !propagations.has(propagation))
        throw bad(`invalid propagation mode: ${propagation}`);
      const recursiveReadOnly = mount.BindOptions?.ReadOnlyForceRecursive ?? false;
      if (recursiveReadOnly) {
        const conflicts = mount.BindOptions?.ReadOnlyNonRecursive || mount.BindOptions?.NonRecursive;
        if (!mount.ReadOnly) throw bad("ReadOnlyForceRecursive requires ReadOnly to be specified");
        if (conflicts) throw bad("ReadOnlyForceRecursive conflicts with NonRecursive");
        if (propagation !== "" && propagation !== "rprivate")
          throw bad("ReadOnlyForceRecursive requires the propagation to be rprivate");
      }
      const createSource = mount.BindOptions?.CreateMountpoint ?? false;
      if (!createSource && !existsSync(mount.Source))
        throw bad(`bind source path does not exist: ${mount.Source}`);
      return {
        ...common,
        type: "bind",
        source: posix.normalize(mount.Source).replace(/(.)\/$/, "$1"),
        propagation: propagation || "rprivate",
        recursive: !(mount.BindOptions?.NonRecursive ?? false),
        ...(recursiveReadOnly ? { recursiveReadOnly } : {}),
        createSource,
      };
    }
    case "volume": {
      if (mount.BindOptions) throw bad("field BindOptions must not be specified");
      if (mount.TmpfsOptions) throw bad("field TmpfsOptions must not be specified");
      if (!mount.Source && mount.ReadOnly)
        throw bad("must not set ReadOnly mode when using anonymous volumes");
      if (mount.Source && !namePattern.test(mount.Source))
        throw invalid(
          `create ${mount.Source}: ${JSON.stringify(mount.Source)} includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`,
        );
      const options = mount.VolumeOptions;
      return {
        ...common,
        type: "volume",
        source: "",
        mode: "z",
        propagation: "",
        noCopy: options?.NoCopy ?? false,
        ...(options?.Subpath ? { subpath: checkSubpath(options.Subpath) } : {}),
        anonymous: !mount.Source,
        volume: {
          ...(mount.Source ? { name: mount.Source } : {}),
          ...(options?.DriverConfig?.Name ? { driver: options.DriverConfig.Name } : {}),
          ...(options?.DriverConfig?.Options ? { options: options.DriverConfig.Options } : {}),
          ...(options?.Labels ? { labels: options.Labels } : {}),
        },
      };
    }
    case "tmpfs": {
      if (mount.BindOptions) throw bad("field BindOptions must not be specified");
      if (mount.VolumeOptions) throw bad("field VolumeOptions must not be specified");
      if (mount.Source) throw bad("field Source must not be specified");
      const data: string[] = [];
      const { Mode = 0, SizeBytes = 0, Options } = mount.TmpfsOptions ?? {};
      if (Mode) data.push(`mode=${Mode.toString(8)}`);
      if (SizeBytes) data.push(`size=${sizeText(SizeBytes)}`);
      for (const option of Options ?? []) data.push(option.join("="));
      return { ...common, type: "tmpfs", source: "", propagation: "", data: data.join(",") };
    }
    default:
      throw invalid(`mount type unknown: ${JSON.stringify(type)}`);
  }
}

/** Docker writes the size with the largest unit that divides it. */
function sizeText(bytes: number): string {
  for (const [unit, factor] of [
    ["g", 1 << 30],
    ["m", 1 << 20],
    ["k", 1 << 10],
  ] as const)
    if (bytes % factor === 0) return `${bytes / factor}${unit}`;
  return String(bytes);
}

function checkSubpath(path: string): string {
  const clean = posix.normalize(path);
  if (clean.startsWith("/") || clean === ".." || clean.startsWith("../"))
    throw invalid("subpath must be a relative path within the volume");
  return clean;
}

/** `--volumes-from container[:ro]`. */
function volumesFrom(spec: string, containers: ContainerStore): MountPlan[] {
  if (spec === "") throw invalid("volumes-from specification cannot be an empty string");
  const [name, mode = ""] = spec.split(":", 2) as [string, string?];
  if (!["", "ro", "rw", "z", "Z"].includes(mode)) throw invalid(`invalid mode: ${mode}`);
  const other = containers.get(name);
  return other.record.mounts.map(({ anonymous: _, ...mount }) => ({
    ...mount,
    writable: mount.writable && mode !== "ro",
    mode: mode || mount.mode,
    noCopy: true,
    ...(mount.name === undefined ? {} : { volume: { name: mount.name } }),
  }));
}
