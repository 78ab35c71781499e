/** The CRI server's settings, read from containerd's config.toml where that has a key for them. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { invalid, messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { defaultCategories } from "../oci/selinux.ts";
import { type Credentials, credentialsOf } from "./images/credentials.ts";
import type { ApparmorRules } from "./spec/apparmor.ts";
import type { CrioLabels } from "./spec/selinux.ts";

export interface RuntimeHandlerConfig {
  /** containerd's name of the runtime: `io.containerd.runc.v2`, … */
  type: string;
  /** Options of io.containerd.runc.v2. */
  binaryName?: string;
  root?: string;
  systemdCgroup?: boolean;
  /** Options of a shim that is not runc's, as the table has them. */
  options?: Record<string, unknown>;
  snapshotter?: string;
  privilegedWithoutHostDevices?: boolean;
  /** Where the networks of this runtime's pods are configured, when not with all others. */
  cniConfDir?: string;
  /** Patterns of annotations that go into specs: of the pod, into those of its containers as well. */
  podAnnotations?: string[];
  containerAnnotations?: string[];
}

export interface CriConfig {
  /** Persistent: the records, pods' files. */
  root: string;
  /** Gone after a reboot: namespaces, shared memory, monitors. */
  state: string;
  snapshotter: string;
  /** A pause image: pods need none, but one that is configured is pinned when it is pulled. */
  sandboxImage: string;
  /** `network`: the name of the one to take; absent: the first. */
  cni: { binDirs: string[]; confDir: string; network?: string };
  defaultRuntime: string;
  runtimes: Record<string, RuntimeHandlerConfig>;
  stream: {
    address: string;
    port: number;
    idleTimeout?: number;
    tls?: { certificate: string; key: string };
  };
  /** Registries that are asked without TLS, besides those on loopback. */
  insecureRegistries: string[];
  registry: {
    /** Folders with a hosts.toml by registry (`config_path`). */
    configPath: string[];
    mirrors: Record<string, string[]>;
    tls: Record<string, { insecureSkipVerify?: boolean; ca?: string; cert?: string; key?: string }>;
    /** Credentials of the node, for pulls that bring none. */
    auths: Record<string, Credentials>;
  };
  /** Folders with CDI specifications; none where the devices are not wanted. */
  cdiSpecDirs: string[];
  unsetSeccompProfile: string;
  /** What a container that asks for nothing may do; absent: containerd's. */
  defaultCapabilities?: string[];
  enableUnprivilegedPorts: boolean;
  enableUnprivilegedIcmp: boolean;
  /** Labels for containers, where the machine has SELinux. */
  enableSelinux: boolean;
  selinuxCategories: number;
  /** Labels by CRI-O's rules (cri/spec/selinux.ts). */
  crioLabels?: CrioLabels;
  /** AppArmor profiles of containers, where the machine has it. */
  apparmor: ApparmorRules;
  ignoreImageDefinedVolumes: boolean;
}

/** Containers of this runtime run in the machine of their pod: its process is there first, and its network before it. */
export const runsInMachine = (runtime: RuntimeHandlerConfig | undefined): boolean =>
  runtime?.binaryName === "vm";

/** The runtime of a handler as a pod names it: empty is the default. */
export const runtimeNamed = (config: CriConfig, handler: string): RuntimeHandlerConfig | undefined =>
  config.runtimes[handler || config.defaultRuntime];

export const defaultConfig = (root: string, state: string): CriConfig => ({
  root: join(root, "io.containerd.grpc.v1.cri"),
  state: join(state, "io.containerd.grpc.v1.cri"),
  snapshotter: "overlayfs",
  sandboxImage: "",
  cni: { binDirs: ["/opt/cni/bin", "/usr/lib/cni"], confDir: "/etc/cni/net.d" },
  defaultRuntime: "runc",
  runtimes: { runc: { type: "io.containerd.runc.v2" } },
  stream: { address: "127.0.0.1", port: 0 },
  insecureRegistries: [],
  registry: { configPath: [], mirrors: {}, tls: {}, auths: {} },
  cdiSpecDirs: ["/etc/cdi", "/var/run/cdi"],
  unsetSeccompProfile: "",
  enableUnprivilegedPorts: true,
  enableUnprivilegedIcmp: true,
  enableSelinux: false,
  selinuxCategories: defaultCategories,
  apparmor: { of: "containerd", disabled: false },
  ignoreImageDefinedVolumes: false,
});

type Table = Record<string, unknown>;

/** Ids of the plugin in configuration versions 2 and 3 (containerd 2 split it in two). */
const pluginIds = [
  "io.containerd.grpc.v1.cri",
  "io.containerd.cri.v1.runtime",
  "io.containerd.cri.v1.images",
];

export interface ReadConfig {
  config: CriConfig;
  /** The plugin is in `disabled_plugins`. */
  disabled: boolean;
}

/** Reads config.toml; a key that is not known here is left alone, one of a wrong type refused by name. */
export function readConfig(path: string | undefined, defaults: CriConfig): ReadConfig {
  if (path === undefined) return { config: defaults, disabled: false };
  let document: Table;
  try {
    document = Bun.TOML.parse(readFileSync(path, "utf8")) as Table;
  } catch (error) {
    throw invalid(`cannot read the configuration ${path}: ${messageOf(error)}`, error);
  }
  return parseConfig(document, defaults);
}

export function parseConfig(document: Table, defaults: CriConfig): ReadConfig {
  const config = structuredClone(defaults);
  const disabled = list(document, "disabled_plugins").some((id) => pluginIds.includes(id) || id === "cri");
  const plugins = table(document, "plugins");
  for (const id of pluginIds) if (plugins[id] !== undefined) apply(config, table(plugins, id));
  if (!config.runtimes[config.defaultRuntime])
    throw invalid(
      `no corresponding runtime configured in containerd.runtimes for default_runtime_name = "${config.defaultRuntime}"`,
    );
  return { config, disabled };
}

/** The monitor's, and containerd's default. */
const logLine = 16_384;

function apply(config: CriConfig, plugin: Table): void {
  config.sandboxImage =
    text(plugin, "sandbox_image") ?? text(table(plugin, "pinned_images"), "sandbox") ?? config.sandboxImage;
  config.stream.address = text(plugin, "stream_server_address") ?? config.stream.address;
  const port = text(plugin, "stream_server_port");
  if (port !== undefined) config.stream.port = Number(port) || 0;
  const idle = text(plugin, "stream_idle_timeout");
  if (idle !== undefined) config.stream.idleTimeout = milliseconds(idle);
  const tls = table(plugin, "x509_key_pair_streaming");
  const certificate = text(tls, "tls_cert_file");
  const key = text(tls, "tls_key_file");
  if (plugin["enable_tls_streaming"] === true && certificate && key)
    config.stream.tls = { certificate: readFileSync(certificate, "utf8"), key: readFileSync(key, "utf8") };
  const line = plugin["max_container_log_line_size"];
  if (typeof line === "number" && line !== logLine)
    log.warn(`max_container_log_line_size is not used: lines of logs are cut after ${logLine} bytes`, {
      line,
    });
  config.snapshotter = text(plugin, "snapshotter") ?? config.snapshotter;
  config.unsetSeccompProfile = text(plugin, "unset_seccomp_profile") ?? config.unsetSeccompProfile;
  config.enableUnprivilegedPorts =
    flag(plugin, "enable_unprivileged_ports") ?? config.enableUnprivilegedPorts;
  config.enableUnprivilegedIcmp = flag(plugin, "enable_unprivileged_icmp") ?? config.enableUnprivilegedIcmp;
  config.enableSelinux = flag(plugin, "enable_selinux") ?? config.enableSelinux;
  const categories = plugin["selinux_category_range"];
  if (typeof categories === "number" && categories > 1) config.selinuxCategories = categories;
  const disabled = flag(plugin, "disable_apparmor");
  if (disabled !== undefined) config.apparmor = { of: "containerd", disabled };
  config.ignoreImageDefinedVolumes =
    flag(plugin, "ignore_image_defined_volumes") ?? config.ignoreImageDefinedVolumes;
  const cni = table(plugin, "cni");
  const binDir = text(cni, "bin_dir");
  if (binDir !== undefined) config.cni.binDirs = [binDir];
  const binDirs = list(cni, "bin_dirs");
  if (binDirs.length > 0) config.cni.binDirs = binDirs;
  config.cni.confDir = text(cni, "conf_dir") ?? config.cni.confDir;
  const containerd = table(plugin, "containerd");
  config.snapshotter = text(containerd, "snapshotter") ?? config.snapshotter;
  config.defaultRuntime = text(containerd, "default_runtime_name") ?? config.defaultRuntime;
  for (const [name, value] of Object.entries(table(containerd, "runtimes")))
    config.runtimes[name] = runtimeOf(name, value);
  if (plugin["enable_cdi"] === false) config.cdiSpecDirs = [];
  else if (plugin["cdi_spec_dirs"] !== undefined) config.cdiSpecDirs = list(plugin, "cdi_spec_dirs");
  applyRegistry(config, table(plugin, "registry"));
}

function applyRegistry(config: CriConfig, registry: Table): void {
  const path = text(registry, "config_path");
  const mirrors = table(registry, "mirrors");
  const configs = table(registry, "configs");
  if (path) {
    if (Object.keys(mirrors).length > 0)
      throw invalid("registry: `mirrors` cannot be set when `config_path` is provided");
    if (Object.keys(configs).some((host) => table(configs, host)["tls"] !== undefined))
      throw invalid("registry: `configs.tls` cannot be set when `config_path` is provided");
    config.registry.configPath = path.split(":").filter(Boolean);
  }
  for (const host of Object.keys(mirrors)) {
    const endpoints = list(table(mirrors, host), "endpoint");
    config.registry.mirrors[host] = endpoints;
    if (endpoints.some((endpoint) => endpoint.startsWith(`http://${host}`)))
      config.insecureRegistries.push(host);
  }
  for (const host of Object.keys(configs)) {
    const settings = table(configs, host);
    if (settings["tls"] !== undefined) {
      const tls = table(settings, "tls");
      const [ca, cert, key] = [text(tls, "ca_file"), text(tls, "cert_file"), text(tls, "key_file")];
      const insecureSkipVerify = flag(tls, "insecure_skip_verify") ?? false;
      if (insecureSkipVerify) config.insecureRegistries.push(host);
      config.registry.tls[host] = {
        ...(insecureSkipVerify ? { insecureSkipVerify } : {}),
        ...(ca ? { ca } : {}),
        ...(cert ? { cert } : {}),
        ...(key ? { key } : {}),
      };
    }
    const auth = table(settings, "auth");
    const found = credentialsOf({
      username: text(auth, "username") ?? "",
      password: text(auth, "password") ?? "",
      auth: text(auth, "auth") ?? "",
      identityToken: text(auth, "identitytoken") ?? "",
      registryToken: "",
    });
    if (found) config.registry.auths[host] = found;
  }
}

function runtimeOf(name: string, value: unknown): RuntimeHandlerConfig {
  if (typeof value !== "object" || value === null)
    throw invalid(`containerd.runtimes.${name} is not a table`);
  const runtime = value as Table;
  const options = table(runtime, "options");
  const binaryName = text(options, "BinaryName");
  const root = text(options, "Root");
  const snapshotter = text(runtime, "snapshotter");
  const confDir = text(runtime, "cni_conf_dir");
  const podAnnotations = list(runtime, "pod_annotations");
  const containerAnnotations = list(runtime, "container_annotations");
  const type = text(runtime, "runtime_type") || "io.containerd.runc.v2";
  // containerd 1.x gives other shims the path of a configuration in this way.
  const configPath = text(runtime, "runtime_config_path") ?? text(runtime, "ConfigPath");
  const foreign = { ...options, ...(configPath ? { ConfigPath: configPath } : {}) };
  return {
    type: text(runtime, "runtime_path") || type,
    ...(type !== "io.containerd.runc.v2" && Object.keys(foreign).length > 0 ? { options: foreign } : {}),
    ...(binaryName ? { binaryName } : {}),
    ...(root ? { root } : {}),
    ...(options["SystemdCgroup"] === true ? { systemdCgroup: true } : {}),
    ...(snapshotter ? { snapshotter } : {}),
    ...(confDir ? { cniConfDir: confDir } : {}),
    ...(podAnnotations.length > 0 ? { podAnnotations } : {}),
    ...(containerAnnotations.length > 0 ? { containerAnnotations } : {}),
    ...(runtime["privileged_without_host_devices"] === true ? { privilegedWithoutHostDevices: true } : {}),
  };
}

function table(parent: Table, key: string): Table {
  const value = parent[key];
  if (value === undefined) return {};
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw invalid(`${key} is not a table`);
  return value as Table;
}

function text(parent: Table, key: string): string | undefined {
  const value = parent[key];
  if (value === undefined) return undefined;
  if (typeof value !== "string") throw invalid(`${key} is not a string`);
  return value;
}

function flag(parent: Table, key: string): boolean | undefined {
  const value = parent[key];
  if (value === undefined) return undefined;
  if (typeof value !== "boolean") throw invalid(`${key} is not a boolean`);
  return value;
}

function list(parent: Table, key: string): string[] {
  const value = parent[key];
  if (value === undefined) return [];
  if (!Array.isArray(value) || value.some((item) => typeof item !== "string"))
    throw invalid(`${key} is not a list of strings`);
  return value as string[];
}

const units: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** A duration as Go writes it: `4h0m0s`. */
export function milliseconds(duration: string): number {
  let total = 0;
  let rest = duration;
  for (
    let match = /^(\d+(?:\.\d+)?)(ms|s|m|h)/.exec(rest);
    match;
    match = /^(\d+(?:\.\d+)?)(ms|s|m|h)/.exec(rest)
  ) {
    total += Number(match[1]) * units[match[2]!]!;
    rest = rest.slice(match[0].length);
  }
  if (rest !== "" && rest !== "0") throw invalid(`not a duration: ${duration}`);
  return total;
}
