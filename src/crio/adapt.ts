/** What CRI-O's settings say about a container's spec, beyond what kubelet asked for. */
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { DeviceSchema } from "../../proto/gen/runtime/v1/container_config_pb.ts";
import { messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import type { MadeContainer } from "../cri/engine.ts";
import { requestedDevices } from "../cri/spec/devices.ts";
import { bind } from "../cri/spec/mounts.ts";
import type { Mount, Spec } from "../oci/runtime-spec.ts";
import type { CrioConfig, RuntimeTable } from "./config/types.ts";
import { injectHooks } from "./hooks/match.ts";
import { readHooks } from "./hooks/read.ts";

/** `table` is the runtime handler's. */
export function adaptSpec(made: MadeContainer, config: CrioConfig, table: RuntimeTable): Spec {
  const { runtime } = config;
  const spec = structuredClone(made.spec);
  const { asked } = made;
  if (asked) {
    if (runtime.read_only && spec.root) {
      spec.root.readonly = true;
      // A root that nobody can write to still has places for what does not last.
      addMounts(spec, temporary);
    }
    addMounts(spec, defaultMounts(runtime.default_mounts_file));
    addMounts(spec, timezone(runtime.timezone));
    addDevices(spec, runtime.additional_devices);
    addDefaultEnv(spec, runtime.default_env);
    addSysctls(spec, runtime.default_sysctls);
    if (runtime.pids_limit > 0) {
      const resources = { ...spec.linux?.resources, pids: { limit: runtime.pids_limit } };
      spec.linux = { ...spec.linux, resources };
    }
    if (runtime.default_ulimits.length > 0 && spec.process)
      spec.process.rlimits = runtime.default_ulimits.map(ulimit);
    if (runtime.add_inheritable_capabilities && spec.process?.capabilities?.bounding)
      spec.process.capabilities.inheritable = spec.process.capabilities.bounding;
  }
  const annotations = { ...asked?.pod.annotations, ...asked?.config.annotations };
  spec.annotations = {
    ...table.default_annotations,
    ...allowed(annotations, table),
    ...ownAnnotations(made),
  };
  const hooks = readHooks(runtime.hooks_dir, (file, error) =>
    log.warn("a hook is left out", { file, error: messageOf(error) }),
  );
  if (asked)
    injectHooks(spec, hooks, {
      annotations: { ...annotations, ...spec.annotations },
      command: spec.process?.args?.[0] ?? "",
      hasBindMounts: asked.config.mounts.length > 0,
    });
  return spec;
}

const temporary: Mount[] = ["/run", "/tmp", "/var/tmp"].map((destination) => ({
  destination,
  type: "tmpfs",
  source: "tmpfs",
  options: ["rw", "nosuid", "nodev", "mode=1777"],
}));

/**
 * What hooks and runtimes know CRI-O's containers by, in place of containerd's names for the same. Not its `ContainerType`:
 * gVisor would look for a sandbox of the pod, and pods have none.
 */
function ownAnnotations({ id, spec, asked }: MadeContainer): Record<string, string> {
  const of = (name: string) => spec.annotations?.[`io.kubernetes.cri.${name}`];
  const named: Record<string, string | undefined> = {
    ContainerID: id,
    SandboxID: of("sandbox-id"),
    KubeName: of("sandbox-name"),
    Namespace: of("sandbox-namespace"),
    ContainerName: of("container-name"),
    ImageName: of("image-name"),
    TTY: asked && String(asked.config.tty),
    Stdin: asked && String(asked.config.stdin),
    StdinOnce: asked && String(asked.config.stdinOnce),
  };
  const others = Object.entries(spec.annotations ?? {}).filter(
    ([name]) => !name.startsWith("io.kubernetes.cri."),
  );
  return {
    ...Object.fromEntries(others),
    ...Object.fromEntries(
      Object.entries(named).flatMap(([name, value]) =>
        value === undefined ? [] : [[`io.kubernetes.cri-o.${name}`, value]],
      ),
    ),
  };
}

/** Annotations that the runtime's table lets through to the runtime, by their beginnings. */
const allowed = (annotations: Record<string, string>, { allowed_annotations }: RuntimeTable) =>
  Object.fromEntries(
    Object.entries(annotations).filter(([name]) =>
      allowed_annotations.some((start) => name.startsWith(start)),
    ),
  );

/** Mounts for destinations that have none. */
function addMounts(spec: Spec, mounts: readonly Mount[]): void {
  const taken = new Set(spec.mounts?.map(({ destination }) => destination));
  spec.mounts = [...(spec.mounts ?? []), ...mounts.filter(({ destination }) => !taken.has(destination))];
}

/** Lines `SOURCE:DESTINATION`; a source that is not there is left out with a word. */
export function defaultMounts(path: string): Mount[] {
  if (path === "" || !existsSync(path)) return [];
  return readFileSync(path, "utf8")
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"))
    .flatMap((line) => {
      const [source = "", destination = source] = line.split(":");
      if (existsSync(source)) return [bind(source, destination, false)];
      log.warn("a default mount is left out: its source does not exist", { file: path, source });
      return [];
    });
}

/** `Local` is the machine's own. */
function timezone(name: string): Mount[] {
  if (name === "") return [];
  const source =
    name.toLowerCase() === "local" ? "/etc/localtime" : join("/usr/share/zoneinfo", join("/", name));
  return existsSync(source) ? [bind(realpathSync(source), "/etc/localtime", false)] : [];
}

/** `host[:container[:permissions]]`. */
function addDevices(spec: Spec, entries: readonly string[]): void {
  const { devices, rules } = requestedDevices(
    entries.map((entry) => {
      const [hostPath = "", containerPath = hostPath, permissions = "rwm"] = entry.split(":");
      return create(DeviceSchema, { hostPath, containerPath, permissions });
    }),
  );
  if (devices.length === 0) return;
  spec.linux = {
    ...spec.linux,
    devices: [...(spec.linux?.devices ?? []), ...devices],
    resources: { ...spec.linux?.resources, devices: [...(spec.linux?.resources?.devices ?? []), ...rules] },
  };
}

/** A variable that the image or the pod sets is left as it is. */
function addDefaultEnv(spec: Spec, entries: readonly string[]): void {
  if (!spec.process || entries.length === 0) return;
  const env = spec.process.env ?? [];
  const names = new Set(env.map((entry) => entry.split("=", 1)[0]));
  spec.process.env = [...env, ...entries.filter((entry) => !names.has(entry.split("=", 1)[0]))];
}

/** Only those of a namespace that the container does not share with the machine. */
function addSysctls(spec: Spec, entries: readonly string[]): void {
  const own = new Set(spec.linux?.namespaces?.map(({ type }) => type));
  for (const entry of entries) {
    const at = entry.indexOf("=");
    if (at < 0) continue;
    const name = entry.slice(0, at).trim().replaceAll("/", ".");
    const needed = name.startsWith("net.") ? "network" : "ipc";
    if (!own.has(needed)) continue;
    spec.linux = { ...spec.linux, sysctl: { [name]: entry.slice(at + 1), ...spec.linux?.sysctl } };
  }
}

function ulimit(entry: string) {
  const [name = "", value = ""] = entry.split("=");
  const [soft, hard] = value.split(":").map(Number);
  return { type: `RLIMIT_${name.toUpperCase()}`, soft: soft!, hard: hard ?? soft! };
}
