/** Files of the Container Device Interface (CNCF's specification, versions 0.3 to 1.1), read and checked. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { invalid, messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import { type Hook, type HookStage, hookStages } from "../../oci/runtime-spec.ts";

export interface CdiDeviceNode {
  path: string;
  hostPath?: string;
  type?: string;
  major?: number;
  minor?: number;
  fileMode?: number;
  permissions?: string;
  uid?: number;
  gid?: number;
}

export interface CdiMount {
  hostPath: string;
  containerPath: string;
  type?: string;
  options?: string[];
}

/** What a device, or all of a file's devices, change in a container. */
export interface ContainerEdits {
  env: string[];
  deviceNodes: CdiDeviceNode[];
  mounts: CdiMount[];
  hooks: Array<{ name: HookStage; hook: Hook }>;
  additionalGids: number[];
}

export interface CdiSpecification {
  file: string;
  /** `vendor/class`. */
  kind: string;
  edits: ContainerEdits;
  devices: Map<string, ContainerEdits>;
}

type Table = Record<string, unknown>;

const sizeLimit = 4 << 20;

/** The specifications of a directory; one that cannot be read is left out, and told. */
export function readDirectory(directory: string): CdiSpecification[] {
  let names: string[];
  try {
    names = readdirSync(directory).sort();
  } catch {
    return [];
  }
  const found: CdiSpecification[] = [];
  for (const name of names) {
    if (!/\.(json|yaml)$/.test(name)) continue;
    const file = join(directory, name);
    try {
      if (statSync(file).size > sizeLimit) throw invalid("it is larger than 4 MB");
      const text = readFileSync(file, "utf8");
      found.push(parseSpecification(name.endsWith(".json") ? JSON.parse(text) : Bun.YAML.parse(text), file));
    } catch (error) {
      log.warn("a CDI specification is left out", { file, error: messageOf(error) });
    }
  }
  return found;
}

/** Checks a document; throws with what is wrong about it. */
export function parseSpecification(document: unknown, file: string): CdiSpecification {
  const spec = table(document, "the document");
  if (!/^(0\.[3-8]|1\.[01])\.\d+$/.test(text(spec, "cdiVersion") ?? ""))
    throw invalid(`cdiVersion ${JSON.stringify(spec["cdiVersion"])} is not known`);
  const kind = text(spec, "kind") ?? "";
  if (!/^[A-Za-z](?:[\w.-]*[A-Za-z0-9])?\/[A-Za-z](?:[\w-]*[A-Za-z0-9])?$/.test(kind))
    throw invalid(`kind ${JSON.stringify(kind)} is not vendor/class`);
  const devices = new Map<string, ContainerEdits>();
  for (const item of list(spec["devices"], "devices")) {
    const device = table(item, "a device");
    const name = text(device, "name") ?? "";
    if (!isDeviceName(name)) throw invalid(`device name ${JSON.stringify(name)} is not valid`);
    if (devices.has(name)) throw invalid(`device ${JSON.stringify(name)} is there twice`);
    devices.set(name, editsOf(device["containerEdits"], `device ${name}`));
  }
  if (devices.size === 0) throw invalid("it has no devices");
  return { file, kind, edits: editsOf(spec["containerEdits"] ?? {}, kind), devices };
}

const isDeviceName = (name: string) => /^[A-Za-z0-9](?:[\w.:-]*[A-Za-z0-9])?$/.test(name);

/** `vendor/class=name` in its parts; undefined when it is none. */
export function parseQualified(name: string): { kind: string; device: string } | undefined {
  const match = /^([^/=\s]+\/[^/=\s]+)=(.+)$/.exec(name);
  return match && isDeviceName(match[2]!) ? { kind: match[1]!, device: match[2]! } : undefined;
}

function editsOf(value: unknown, what: string): ContainerEdits {
  const edits = table(value, `containerEdits of ${what}`);
  for (const name of ["intelRdt", "netDevices"])
    if (edits[name] !== undefined) throw invalid(`${name} of ${what} is not implemented`);
  return {
    env: list(edits["env"], "env").map((item) => {
      if (typeof item !== "string" || item.indexOf("=") < 1)
        throw invalid(`environment variable ${JSON.stringify(item)} of ${what} is not NAME=VALUE`);
      return item;
    }),
    deviceNodes: list(edits["deviceNodes"], "deviceNodes").map((item) =>
      deviceNode(table(item, "a device node"), what),
    ),
    mounts: list(edits["mounts"], "mounts").map((item) => {
      const mount = table(item, "a mount");
      const hostPath = text(mount, "hostPath");
      const containerPath = text(mount, "containerPath");
      if (!hostPath || !containerPath) throw invalid(`a mount of ${what} lacks hostPath or containerPath`);
      const type = text(mount, "type");
      const options = strings(mount["options"], "options");
      return {
        hostPath,
        containerPath,
        ...(type ? { type } : {}),
        ...(options.length > 0 ? { options } : {}),
      };
    }),
    hooks: list(edits["hooks"], "hooks").map((item) => hookOf(table(item, "a hook"), what)),
    additionalGids: list(edits["additionalGids"], "additionalGids").map((item) => {
      if (typeof item !== "number" || !Number.isInteger(item) || item < 0)
        throw invalid(`additionalGids of ${what} holds ${JSON.stringify(item)}`);
      return item;
    }),
  };
}

function deviceNode(node: Table, what: string): CdiDeviceNode {
  const path = text(node, "path");
  if (!path) throw invalid(`a device node of ${what} lacks a path`);
  const out: CdiDeviceNode = { path };
  const hostPath = text(node, "hostPath");
  if (hostPath) out.hostPath = hostPath;
  const type = text(node, "type");
  if (type) {
    if (!/^[bcup]$/.test(type))
      throw invalid(`device node ${path} of ${what} is of type ${JSON.stringify(type)}`);
    out.type = type;
  }
  const permissions = text(node, "permissions");
  if (permissions) {
    if (!/^[rwm]+$/.test(permissions))
      throw invalid(`device node ${path} of ${what} has permissions ${JSON.stringify(permissions)}`);
    out.permissions = permissions;
  }
  for (const name of ["major", "minor", "fileMode", "uid", "gid"] as const) {
    const value = node[name];
    if (value === undefined || value === null) continue;
    if (typeof value !== "number" || !Number.isInteger(value) || value < 0)
      throw invalid(`${name} of device node ${path} of ${what} is not a number`);
    out[name] = value;
  }
  return out;
}

function hookOf(value: Table, what: string): { name: HookStage; hook: Hook } {
  const name = text(value, "hookName") as HookStage | undefined;
  const path = text(value, "path");
  if (!name || !hookStages.includes(name))
    throw invalid(`hook ${JSON.stringify(name)} of ${what} is not known`);
  if (!path) throw invalid(`a hook of ${what} lacks a path`);
  const args = strings(value["args"], "args");
  const env = strings(value["env"], "env");
  const { timeout } = value;
  if (timeout !== undefined && typeof timeout !== "number")
    throw invalid(`timeout of a hook of ${what} is not a number`);
  return {
    name,
    hook: {
      path,
      ...(args.length > 0 ? { args } : {}),
      ...(env.length > 0 ? { env } : {}),
      ...(timeout === undefined ? {} : { timeout }),
    },
  };
}

function table(value: unknown, what: string): Table {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw invalid(`${what} is not a table`);
  return value as Table;
}

function text(parent: Table, name: string): string | undefined {
  const value = parent[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "string") throw invalid(`${name} is not a string`);
  return value;
}

function list(value: unknown, what: string): unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw invalid(`${what} is not a list`);
  return value;
}

function strings(value: unknown, what: string): string[] {
  const items = list(value, what);
  if (items.some((item) => typeof item !== "string")) throw invalid(`${what} is not a list of strings`);
  return items as string[];
}
