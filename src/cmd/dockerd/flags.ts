import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { invalid, messageOf } from "../../base/errors.ts";
import { type Level, levelsByName } from "../../base/log.ts";
import {
  builtinRuntime,
  checkCgroupParent,
  type DaemonConfig,
  defaultConfig,
  type RuntimeConfig,
  type TlsFiles,
} from "../../dockerd/index.ts";
import { cgroupLayout } from "../../sys/cgroup/index.ts";

/** What the command line and daemon.json come to. */
export interface Settings {
  config: DaemonConfig;
  pidFile: string;
  logLevel: Level;
  logFormat: "text" | "json";
  bip?: string;
  mtu?: number;
}

const options = {
  "add-runtime": { type: "string", multiple: true },
  bip: { type: "string" },
  bridge: { type: "string", short: "b" },
  "cgroup-parent": { type: "string" },
  "config-file": { type: "string" },
  containerd: { type: "string" },
  "data-root": { type: "string" },
  debug: { type: "boolean", short: "D" },
  "default-runtime": { type: "string" },
  "default-shm-size": { type: "string" },
  "default-ulimit": { type: "string", multiple: true },
  dns: { type: "string", multiple: true },
  "dns-opt": { type: "string", multiple: true },
  "dns-search": { type: "string", multiple: true },
  "exec-opt": { type: "string", multiple: true },
  "exec-root": { type: "string" },
  experimental: { type: "boolean" },
  group: { type: "string", short: "G" },
  help: { type: "boolean", short: "h" },
  host: { type: "string", short: "H", multiple: true },
  init: { type: "boolean" },
  "init-path": { type: "string" },
  "insecure-registry": { type: "string", multiple: true },
  iptables: { type: "string" },
  ip6tables: { type: "string" },
  label: { type: "string", multiple: true },
  "live-restore": { type: "boolean" },
  "log-driver": { type: "string" },
  "log-format": { type: "string" },
  "log-level": { type: "string", short: "l" },
  "log-opt": { type: "string", multiple: true },
  mtu: { type: "string" },
  "no-new-privileges": { type: "boolean" },
  pidfile: { type: "string", short: "p" },
  "registry-mirror": { type: "string", multiple: true },
  "seccomp-profile": { type: "string" },
  "selinux-enabled": { type: "boolean" },
  "shutdown-timeout": { type: "string" },
  "storage-driver": { type: "string", short: "s" },
  tls: { type: "string" },
  tlscacert: { type: "string" },
  tlscert: { type: "string" },
  tlskey: { type: "string" },
  tlsverify: { type: "string" },
  version: { type: "boolean", short: "v" },
} as const;

export const usage = `Usage: dockerd [OPTIONS]

  --data-root DIR           persistent state (default /var/lib/corten)
  --exec-root DIR           runtime state (default /run/corten)
  -H, --host HOST           unix:///path or tcp://host:port to listen on, several allowed (default unix:///run/corten/docker.sock)
  --containerd SOCKET       use this containerd instead of the one inside
  --add-runtime NAME=PATH   another OCI runtime, or a shim: NAME=io.containerd.X.vN or its path
  --default-runtime NAME    (default ${builtinRuntime})
  -p, --pidfile FILE
  -b, --bridge NAME         name of the default bridge; "none" for no bridge network
  --bip CIDR                address of the default bridge
  -s, --storage-driver NAME snapshotter: overlayfs (overlay2) or native
  --insecure-registry HOST, --registry-mirror URL
  --config-file FILE        daemon.json (default /etc/corten/daemon.json)
  -D, --debug, -l, --log-level LEVEL, --log-format text|json
  --log-driver, --log-opt, --default-shm-size, --default-ulimit, --dns, --dns-search, --dns-opt, --label,
  --tlsverify, --tlscacert FILE, --tlscert FILE, --tlskey FILE
                            TLS on tcp hosts, for clients with a certificate by that authority (default files: ca.pem,
                            cert.pem, key.pem in DOCKER_CERT_PATH or ~/.docker); --tlsverify=false lets in everybody
  --exec-opt native.cgroupdriver=systemd|cgroupfs
                            who makes containers' cgroups (default: systemd on cgroup v2 where it runs, else cgroupfs)
  --experimental            checkpoints (they need criu)
  --init, --init-path, --cgroup-parent, --seccomp-profile, --no-new-privileges, --selinux-enabled, --mtu
  -v, --version, -h, --help

Containers never depend on the daemon: it ends without stopping them, and finds them again when it comes back.
`;

type Values = Record<string, string | boolean | string[] | undefined>;

/** Reads flags as Docker's: `--bool=false`, `--name value`, `--name=value`. */
export function parseFlags(argv: readonly string[]): Values {
  const booleans = new Set(
    Object.entries(options).flatMap(([name, option]) => (option.type === "boolean" ? [`--${name}`] : [])),
  );
  const args = argv.flatMap((argument) => {
    const match = /^(--[\w-]+)=(.*)$/.exec(argument);
    if (!match || !booleans.has(match[1]!)) return [argument];
    return /^(1|true|t)$/i.test(match[2]!) ? [match[1]!] : [];
  });
  // Given alone, these are a yes; a given no is something else than nothing given.
  const withValues = args.map((argument) =>
    /^--(ip6?tables|tls|tlsverify)$/.test(argument) ? `${argument}=true` : argument,
  );
  try {
    return parseArgs({ args: withValues, options, allowPositionals: false }).values as Values;
  } catch (error) {
    throw invalid(messageOf(error));
  }
}

/** daemon.json: the same keys; lists in the plural, runtimes as an object. */
function readConfigFile(path: string | undefined): Values {
  const file = path ?? "/etc/corten/daemon.json";
  if (!existsSync(file)) {
    if (path !== undefined)
      throw invalid(`unable to configure the daemon with file ${path}: no such file or directory`);
    return {};
  }
  let parsed: Record<string, unknown>;
  try {
    parsed = JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;
  } catch (error) {
    throw invalid(`unable to configure the daemon with file ${file}: ${messageOf(error)}`);
  }
  const values: Values = {};
  for (const [key, value] of Object.entries(parsed)) {
    const name = plurals[key] ?? key;
    if (key === "runtimes") values["add-runtime"] = runtimeFlags(value);
    else if (key === "log-opts" && value !== null && typeof value === "object")
      values["log-opt"] = Object.entries(value).map(([option, text]) => `${option}=${text}`);
    else if (!Object.hasOwn(options, name))
      throw invalid(
        `unable to configure the daemon with file ${file}: the following directives don't match any configuration option: ${key}`,
      );
    else if (Array.isArray(value)) values[name] = value.map(String);
    else
      values[name] =
        typeof value === "boolean"
          ? options[name as keyof typeof options].type === "boolean"
            ? value
            : String(value)
          : String(value);
  }
  return values;
}

const plurals: Record<string, string> = {
  hosts: "host",
  labels: "label",
  "insecure-registries": "insecure-registry",
  "registry-mirrors": "registry-mirror",
  "dns-opts": "dns-opt",
  "dns-searches": "dns-search",
  "default-ulimits": "default-ulimit",
  "exec-opts": "exec-opt",
};

function runtimeFlags(value: unknown): string[] {
  if (value === null || typeof value !== "object") return [];
  return Object.entries(
    value as Record<string, { path?: string; runtimeType?: string; options?: unknown }>,
  ).map(
    ([name, { path, runtimeType, options }]) =>
      `${name}=${path ?? runtimeType ?? ""}${options === undefined ? "" : `;${JSON.stringify(options)}`}`,
  );
}

/** A path to an OCI runtime; a shim by its type or by its own path, with its options after a semicolon. */
function runtimeOf(entry: string): RuntimeConfig {
  const [, target = entry, options] = /^([^;]*);(\{.*\})$/s.exec(entry) ?? [];
  const shim = target.startsWith("io.containerd.") || /\/containerd-shim-[\w-]+-v\d+$/.test(target);
  if (!shim) return { path: target };
  return { type: target, ...(options ? { options: JSON.parse(options) as Record<string, unknown> } : {}) };
}

/** Flags over file over defaults. */
export function settingsOf(flags: Values): Settings {
  const file = readConfigFile(flags["config-file"] as string | undefined);
  const all: Values = { ...file, ...flags };
  for (const name of ["add-runtime", "label", "insecure-registry", "registry-mirror"])
    if (file[name] && flags[name]) all[name] = [...(file[name] as string[]), ...(flags[name] as string[])];
  const text = (name: string) => all[name] as string | undefined;
  const list = (name: string) => (all[name] as string[] | undefined) ?? [];
  const config = defaultConfig();
  config.dataRoot = text("data-root") ?? config.dataRoot;
  config.execRoot = text("exec-root") ?? config.execRoot;
  for (const path of [config.dataRoot, config.execRoot])
    if (!path.startsWith("/")) throw invalid(`${path}: roots must be absolute paths`);
  const tls = tlsFiles(all);
  if (tls) config.tls = tls;
  config.hosts = list("host").map(hostOf);
  if (config.hosts.length === 0)
    config.hosts = [tls ? "tcp://127.0.0.1:2376" : `unix://${config.execRoot}/docker.sock`];
  for (const entry of list("add-runtime")) {
    const [name = "", ...rest] = entry.split("=");
    const path = rest.join("=");
    if (name === "" || path === "") throw invalid(`runtime must be NAME=PATH, got ${JSON.stringify(entry)}`);
    if (name === builtinRuntime) throw invalid(`runtime name '${name}' is reserved`);
    config.runtimes[name] = runtimeOf(path);
  }
  config.defaultRuntime = text("default-runtime") ?? config.defaultRuntime;
  if (!Object.hasOwn(config.runtimes, config.defaultRuntime))
    throw invalid(`specified default runtime '${config.defaultRuntime}' does not exist`);
  if (text("containerd") !== undefined) config.containerd = text("containerd")!.replace(/^unix:\/\//, "");
  const driver = text("storage-driver");
  if (driver !== undefined)
    config.snapshotter = driver === "overlay2" ? "overlayfs" : driver === "vfs" ? "native" : driver;
  if (text("bridge") !== undefined) config.bridge = text("bridge")!;
  config.debug = Boolean(all["debug"]);
  config.insecureRegistries = list("insecure-registry");
  config.registryMirrors = list("registry-mirror");
  config.logDriver = text("log-driver") ?? config.logDriver;
  config.logOpts = pairs(list("log-opt"));
  config.labels = list("label");
  config.init = Boolean(all["init"]);
  config.experimental = Boolean(all["experimental"]);
  if (text("init-path") !== undefined) config.initPath = text("init-path")!;
  config.cgroupParent = text("cgroup-parent") ?? "";
  config.cgroupDriver = cgroupDriverOf(list("exec-opt"));
  checkCgroupParent(config.cgroupDriver, config.cgroupParent);
  config.dns = list("dns");
  config.dnsSearch = list("dns-search");
  config.dnsOptions = list("dns-opt");
  if (text("seccomp-profile") !== undefined) config.seccompProfile = text("seccomp-profile")!;
  config.noNewPrivileges = Boolean(all["no-new-privileges"]);
  config.selinux = Boolean(all["selinux-enabled"]);
  if (text("default-shm-size") !== undefined) config.defaultShmSize = sizeOf(text("default-shm-size")!);
  for (const entry of list("default-ulimit")) {
    const match = /^(\w+)=(-?\d+)(?::(-?\d+))?$/.exec(entry);
    if (!match) throw invalid(`invalid ulimit argument: ${entry}`);
    config.defaultUlimits[match[1]!] = { soft: Number(match[2]), hard: Number(match[3] ?? match[2]) };
  }
  const level = levelsByName[text("log-level") ?? (config.debug ? "debug" : "info")];
  if (!level) throw invalid(`unable to parse logging level: ${text("log-level")}`);
  const mtu = text("mtu");
  return {
    config,
    pidFile: text("pidfile") ?? `${config.execRoot}/docker.pid`,
    logLevel: level,
    logFormat: text("log-format") === "json" ? "json" : "text",
    ...(text("bip") === undefined ? {} : { bip: text("bip")! }),
    ...(mtu === undefined || mtu === "0" ? {} : { mtu: Number(mtu) }),
  };
}

/** Options of other names are passed over, as Docker does. */
function cgroupDriverOf(execOptions: readonly string[]): DaemonConfig["cgroupDriver"] {
  const options = pairs(execOptions.map((option) => option.replace(/^[^=]*/, (name) => name.toLowerCase())));
  const asked = options["native.cgroupdriver"] ?? "";
  if (asked === "systemd" || asked === "cgroupfs") return asked;
  if (asked !== "") throw invalid(`native.cgroupdriver option ${asked} not supported`);
  const systemd = process.geteuid?.() === 0 && existsSync("/run/systemd/system");
  return systemd && cgroupLayout().mode === "v2" ? "systemd" : "cgroupfs";
}

const pairs = (entries: readonly string[]) =>
  Object.fromEntries(
    entries.map((entry) => {
      const at = entry.indexOf("=");
      return at < 0 ? [entry, ""] : [entry.slice(0, at), entry.slice(at + 1)];
    }),
  );

function sizeOf(text: string): number {
  const match = /^(\d+)([kmgt]?)b?$/i.exec(text);
  if (!match) throw invalid(`invalid size: '${text}'`);
  return Number(match[1]) * 1024 ** " kmgt".indexOf(match[2]!.toLowerCase() || " ");
}

/** TLS is on when either flag (or DOCKER_TLS_VERIFY) says so, and asks for certificates unless `--tlsverify=false`. */
function tlsFiles(all: Values): TlsFiles | undefined {
  const given = (name: string) => (all[name] === undefined ? undefined : yes(name, String(all[name])));
  const verify = given("tlsverify") ?? ((process.env["DOCKER_TLS_VERIFY"] ?? "") !== "" ? true : undefined);
  if (verify === undefined && !given("tls")) return undefined;
  const directory =
    process.env["DOCKER_CERT_PATH"] ||
    process.env["DOCKER_CONFIG"] ||
    join(process.env["HOME"] || "/root", ".docker");
  const file = (name: string, leaf: string) => (all[name] as string | undefined) ?? join(directory, leaf);
  return {
    cert: file("tlscert", "cert.pem"),
    key: file("tlskey", "key.pem"),
    ca: file("tlscacert", "ca.pem"),
    verify: verify ?? true,
  };
}

function yes(name: string, text: string): boolean {
  if (/^(1|t|true)$/i.test(text)) return true;
  if (/^(0|f|false)$/i.test(text)) return false;
  throw invalid(`invalid argument ${JSON.stringify(text)} for "--${name}": not a boolean`);
}

/** `/path`, `unix:///path`, `tcp://…`, `:2375`. */
function hostOf(text: string): string {
  if (text.startsWith("unix://") || text.startsWith("tcp://")) return text;
  if (text.startsWith("/")) return `unix://${text}`;
  if (text.startsWith("fd://"))
    throw invalid("fd:// (socket activation) is not supported; use unix:///path or tcp://host:port");
  return `tcp://${text}`;
}
