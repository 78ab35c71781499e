/** Device nodes and links of /dev (runtime-spec: config-linux, Devices and Default Devices). */
import { existsSync, statSync } from "node:fs";
import { posix } from "node:path";
import { invalid } from "../../base/errors.ts";
import type { LinuxDevice } from "../../oci/runtime-spec.ts";
import type { PlannedOperation } from "../plan/encode.ts";
import { type CompileContext, child, inStage } from "./context.ts";

const node = (path: string, major: number, minor: number): LinuxDevice => ({
  path,
  type: "c",
  major,
  minor,
  fileMode: 0o666,
  uid: 0,
  gid: 0,
});

const defaults: readonly LinuxDevice[] = [
  node("/dev/null", 1, 3),
  node("/dev/random", 1, 8),
  node("/dev/full", 1, 7),
  node("/dev/tty", 5, 0),
  node("/dev/zero", 1, 5),
  node("/dev/urandom", 1, 9),
];

/** stat(2) S_IFMT values by the configuration's letter. */
const typeBits: Record<string, number> = { c: 0o020000, u: 0o020000, b: 0o060000, p: 0o010000 };

export function compileDevices(context: CompileContext): PlannedOperation[] {
  const { root } = context;
  const operations: PlannedOperation[] = [];
  const configured = context.spec.linux?.devices ?? [];
  const byPath = new Map<string, { device: LinuxDevice; reason: string }>();
  for (const device of defaults) byPath.set(device.path, { device, reason: "default devices" });
  for (const [index, device] of configured.entries())
    byPath.set(posix.normalize(device.path), { device, reason: `linux.devices[${index}]` });
  // The terminal is put there by its own operation.
  byPath.delete("/dev/ptmx");
  for (const [path, { device, reason }] of byPath)
    operations.push(...makeDevice(context, path, device, reason));
  const link = (path: string, target: string) =>
    operations.push(child("default devices", { op: "symlink", root, path, target }));
  link("/dev/ptmx", "pts/ptmx");
  link("/dev/fd", "/proc/self/fd");
  link("/dev/stdin", "/proc/self/fd/0");
  link("/dev/stdout", "/proc/self/fd/1");
  link("/dev/stderr", "/proc/self/fd/2");
  if (existsSync("/proc/kcore")) link("/dev/core", "/proc/kcore");
  return operations;
}

function makeDevice(
  context: CompileContext,
  path: string,
  device: LinuxDevice,
  reason: string,
): PlannedOperation[] {
  const { root } = context;
  const type = typeBits[device.type];
  if (type === undefined)
    throw invalid(`invalid device type ${JSON.stringify(device.type)} for ${device.path}`);
  if (context.namespaces.has("user") && device.type !== "p") {
    // mknod is not for user namespaces: the host's node is bound instead, if it is the same device.
    if (!isSameNode(path, device)) return [];
    const tree = context.builder.slot();
    context.stage.push(inStage(reason, { op: "openTree", out: tree, path }));
    return [child(reason, { op: "bind", tree, root, path, kind: 2 })];
  }
  return [
    child(reason, {
      op: "mknod",
      root,
      path,
      mode: type | (device.fileMode ?? 0o666),
      major: device.major ?? 0,
      minor: device.minor ?? 0,
      uid: device.uid ?? 0,
      gid: device.gid ?? 0,
    }),
  ];
}

function isSameNode(path: string, device: LinuxDevice): boolean {
  try {
    const { rdev } = statSync(path);
    const major = ((rdev >> 8) & 0xfff) | 0;
    const minor = (rdev & 0xff) | ((rdev >> 12) & 0xfff00);
    return major === (device.major ?? 0) && minor === (device.minor ?? 0);
  } catch {
    return false;
  }
}
