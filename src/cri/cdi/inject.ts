/** Devices by their CDI names: looked up in the node's specifications and put into a container's spec. */
import { type Stats, statSync } from "node:fs";
import { invalid, messageOf } from "../../base/errors.ts";
import { deviceNode } from "../../oci/devices.ts";
import type { LinuxDevice, Mount, Spec } from "../../oci/runtime-spec.ts";
import {
  type CdiDeviceNode,
  type CdiSpecification,
  type ContainerEdits,
  parseQualified,
  readDirectory,
} from "./specification.ts";

/** Kubernetes' older way to ask: annotations `cdi.k8s.io/…` with names between commas. */
const annotationPrefix = "cdi.k8s.io/";

/** The names a container asks for, each once: the field's, then its annotations'. */
export function requestedNames(
  fields: ReadonlyArray<{ name: string }>,
  annotations: Record<string, string>,
): string[] {
  const names = fields.map(({ name }) => name);
  for (const key of Object.keys(annotations).sort())
    if (key.startsWith(annotationPrefix))
      names.push(...annotations[key]!.split(",").map((name) => name.trim()));
  for (const name of names)
    if (!parseQualified(name))
      throw invalid(`CDI device injection failed: invalid device name ${JSON.stringify(name)}`);
  return [...new Set(names)];
}

/** The spec with the devices; the one given stays as it is. */
export function injectDevices(spec: Spec, names: readonly string[], directories: readonly string[]): Spec {
  if (names.length === 0) return spec;
  if (directories.length === 0) throw invalid("CDI device injection failed: CDI is disabled");
  const found = findDevices(directories, names);
  const out = structuredClone(spec);
  const seen = new Set<CdiSpecification>();
  try {
    for (const { specification, edits } of found) {
      if (!seen.has(specification)) apply(out, specification.edits);
      seen.add(specification);
      apply(out, edits);
    }
  } catch (error) {
    throw invalid(`CDI device injection failed: ${messageOf(error)}`, error);
  }
  return out;
}

/** A later directory's device stands in for an earlier one's; the same name twice in one directory is nobody's. */
function findDevices(
  directories: readonly string[],
  names: readonly string[],
): Array<{ specification: CdiSpecification; edits: ContainerEdits }> {
  const known = new Map<string, { specification: CdiSpecification; edits: ContainerEdits } | undefined>();
  for (const directory of directories) {
    const here = new Set<string>();
    for (const specification of readDirectory(directory))
      for (const [device, edits] of specification.devices) {
        const name = `${specification.kind}=${device}`;
        known.set(name, here.has(name) ? undefined : { specification, edits });
        here.add(name);
      }
  }
  const missing = names.filter((name) => !known.get(name));
  if (missing.length > 0)
    throw invalid(`CDI device injection failed: unresolvable CDI devices ${missing.join(", ")}`);
  return names.map((name) => known.get(name)!);
}

function apply(spec: Spec, edits: ContainerEdits): void {
  const process = spec.process!;
  if (edits.env.length > 0) {
    const replaced = new Set(edits.env.map(nameOf));
    process.env = [...(process.env ?? []).filter((entry) => !replaced.has(nameOf(entry))), ...edits.env];
  }
  if (edits.additionalGids.length > 0) {
    const gids = [
      ...(process.user?.additionalGids ?? []),
      ...edits.additionalGids.filter((gid) => gid !== 0),
    ];
    process.user = { ...(process.user ?? { uid: 0, gid: 0 }), additionalGids: [...new Set(gids)] };
  }
  for (const node of edits.deviceNodes) addDevice(spec, node);
  for (const { hostPath, containerPath, type, options } of edits.mounts) {
    const mount: Mount = {
      destination: containerPath,
      source: hostPath,
      type: type ?? "bind",
      // A bind needs to say so, which specifications do not always.
      options: type === undefined || type === "bind" ? withBind(options ?? []) : (options ?? []),
    };
    const others = (spec.mounts ?? []).filter(({ destination }) => destination !== containerPath);
    const at = others.findIndex(({ destination }) => destination.startsWith(`${containerPath}/`));
    spec.mounts = at < 0 ? [...others, mount] : others.toSpliced(at, 0, mount);
  }
  for (const { name, hook } of edits.hooks) {
    spec.hooks ??= {};
    spec.hooks[name] = [...(spec.hooks[name] ?? []), hook];
  }
}

const nameOf = (entry: string) => entry.split("=", 1)[0];

const withBind = (options: string[]) =>
  options.some((option) => option === "bind" || option === "rbind") ? options : [...options, "rbind"];

function addDevice(spec: Spec, node: CdiDeviceNode): void {
  const hostPath = node.hostPath ?? node.path;
  let device: LinuxDevice;
  if (node.type !== undefined && (node.type === "p" || node.major !== undefined))
    device = { path: node.path, type: node.type, major: node.major ?? 0, minor: node.minor ?? 0 };
  else {
    let stat: Stats;
    try {
      stat = statSync(hostPath);
    } catch (error) {
      throw invalid(`device ${hostPath}: ${messageOf(error)}`, error);
    }
    const real = deviceNode(stat);
    if (!real) throw invalid(`not a device node: ${hostPath}`);
    if (node.type !== undefined && node.type !== real.type)
      throw invalid(`device ${hostPath} is of type ${real.type}, not ${node.type}`);
    // Its owner is the one in the container, not the host's.
    const { type, major, minor, fileMode } = real;
    device = { path: node.path, type, major, minor, fileMode };
  }
  if (node.fileMode !== undefined) device.fileMode = node.fileMode;
  const user = spec.process?.user;
  const uid = node.uid ?? (user?.uid || undefined);
  const gid = node.gid ?? (user?.gid || undefined);
  if (uid !== undefined) device.uid = uid;
  if (gid !== undefined) device.gid = gid;
  spec.linux ??= {};
  const { linux } = spec;
  linux.devices = [...(linux.devices ?? []).filter(({ path }) => path !== node.path), device];
  if (device.type !== "b" && device.type !== "c") return;
  linux.resources ??= {};
  const { resources } = linux;
  resources.devices = [
    ...(resources.devices ?? []),
    {
      allow: true,
      type: device.type,
      major: device.major!,
      minor: device.minor!,
      access: node.permissions ?? "rwm",
    },
  ];
}
