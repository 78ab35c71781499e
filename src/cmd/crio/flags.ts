/** CRI-O's command line: a flag for every key of its configuration, read also from `CONTAINER_…` variables. */
import { invalid } from "../../base/errors.ts";
import { defaultConfig, defaultRuntimeTable } from "../../crio/config/defaults.ts";
import type { ConfigFiles } from "../../crio/config/read.ts";
import type { Table } from "../../crio/config/toml.ts";

export interface CommandLine {
  files: ConfigFiles;
  /** The configuration's keys that flags set, as a document. */
  overrides: Table;
  registries: { path: string; dir: string };
  help: boolean;
  words: string[];
}

/** Flags whose names are not their keys'. */
const names: Record<string, string> = {
  storage_option: "storage-opt",
  network_dir: "cni-config-dir",
  plugin_dirs: "cni-plugin-dir",
  insecure_registries: "insecure-registry",
  grpc_max_recv_msg_size: "grpc-max-recv-msg-size",
};

const short: Record<string, string> = {
  c: "config",
  d: "config-dir",
  r: "root",
  s: "storage-driver",
  l: "log-level",
  h: "help",
};

interface Key {
  section: string;
  key: string;
  standard: unknown;
}

const sections = ["", "api", "runtime", "image", "network", "metrics", "stats"] as const;

/** Flag → key. */
function keysByFlag(): Map<string, Key> {
  const defaults = defaultConfig();
  const found = new Map<string, Key>();
  for (const section of sections) {
    const table = (section === "" ? defaults : defaults[section]) as object;
    for (const [key, standard] of Object.entries(table))
      if (Array.isArray(standard) || typeof standard !== "object")
        found.set(names[key] ?? key.replaceAll("_", "-"), { section, key, standard });
  }
  return found;
}

export function readCommandLine(
  argv: readonly string[],
  env: Record<string, string | undefined>,
): CommandLine {
  const keys = keysByFlag();
  const given = new Map<string, string[]>();
  const words: string[] = [];
  const own: Record<string, string> = {};
  let help = false;
  for (const [flag] of keys) {
    const value = env[`CONTAINER_${flag.replaceAll("-", "_").toUpperCase()}`];
    if (value !== undefined) given.set(flag, [value]);
  }
  const seen = new Set<string>();
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at]!;
    const match = /^--?([A-Za-z][\w-]*)(?:=(.*))?$/s.exec(word);
    // From the command on the words are its own.
    if (!match) {
      words.push(...argv.slice(at));
      break;
    }
    const flag = short[match[1]!] ?? match[1]!;
    const known = keys.get(flag);
    if (flag === "help") {
      help = true;
      continue;
    }
    if (!known && !["config", "config-dir", "registries-conf", "runtimes"].includes(flag))
      throw invalid(`flag provided but not defined: ${word.split("=", 1)[0]}`);
    let value = match[2];
    if (value === undefined) {
      if (typeof known?.standard === "boolean") value = "true";
      else value = argv[++at];
      if (value === undefined) throw invalid(`flag needs an argument: ${word}`);
    }
    if (!known && flag !== "runtimes") own[flag] = value;
    else {
      if (!seen.has(flag)) given.delete(flag);
      seen.add(flag);
      given.set(flag, [...(given.get(flag) ?? []), value]);
    }
  }
  const asked = own["config"] ?? env["CONTAINER_CONFIG"];
  const registries =
    own["registries-conf"] ?? env["CONTAINERS_REGISTRIES_CONF"] ?? "/etc/containers/registries.conf";
  return {
    files: {
      path: asked ?? "/etc/crio/crio.conf",
      dir: own["config-dir"] ?? env["CONTAINER_CONFIG_DIR"] ?? "/etc/crio/crio.conf.d",
      ...(asked === undefined ? {} : { asked: true }),
    },
    overrides: { crio: documentOf(given, keys) },
    registries: { path: registries, dir: `${registries}.d` },
    help,
    words,
  };
}

function documentOf(given: ReadonlyMap<string, string[]>, keys: ReadonlyMap<string, Key>): Table {
  const document: Record<string, Table | unknown> = {};
  const place = (section: string): Table => {
    if (section === "") return document;
    document[section] ??= {};
    return document[section] as Table;
  };
  for (const [flag, values] of given) {
    if (flag === "runtimes") {
      place("runtime")["runtimes"] = Object.fromEntries(values.flatMap(list).map(runtimeOf));
      continue;
    }
    const { section, key, standard } = keys.get(flag)!;
    place(section)[key] = parsed(flag, standard, values);
  }
  return document;
}

const list = (value: string) => value.split(",").filter((entry) => entry !== "");

function parsed(flag: string, standard: unknown, values: readonly string[]): unknown {
  if (Array.isArray(standard)) return values.flatMap(list);
  const value = values.at(-1)!;
  if (typeof standard === "boolean") {
    if (!/^(?:true|false|1|0)$/.test(value))
      throw invalid(`--${flag}: ${JSON.stringify(value)} is not a boolean`);
    return value === "true" || value === "1";
  }
  if (typeof standard === "number") {
    if (!/^-?\d+$/.test(value)) throw invalid(`--${flag}: ${JSON.stringify(value)} is not a number`);
    return Number(value);
  }
  return value;
}

/** `name:path:root:type:privileged_without_host_devices`. */
function runtimeOf(text: string): [string, Table] {
  const [name, path, root, type, devices] = text.split(":");
  if (!name || path === undefined)
    throw invalid(
      `--runtimes: ${JSON.stringify(text)} is not runtime_name:runtime_path:runtime_root:runtime_type`,
    );
  return [
    name,
    {
      ...defaultRuntimeTable(),
      runtime_path: path,
      runtime_root: root ?? "",
      runtime_type: type || "oci",
      privileged_without_host_devices: devices === "true",
    },
  ];
}

export const usage = `Usage: crio [flags] [command]

Serves Kubernetes' container runtime interface on OCI runtimes, configured as CRI-O is.

Commands:
  config     print the configuration (--default: without the files)
  status     ask a running server: info, config, containers ID
  wipe       remove containers and images as a reboot or an upgrade asks (--force: anyway)
  version    print the version

Flags:
  -c, --config FILE        default /etc/crio/crio.conf
  -d, --config-dir DIR     default /etc/crio/crio.conf.d; its files are read after it
  --registries-conf FILE   default /etc/containers/registries.conf, with FILE.d
  --runtimes LIST          name:path:root:type
  --KEY VALUE              every key of the configuration, with - for _ (--log-level, --cgroup-manager, …); besides
                           --storage-opt, --cni-config-dir, --cni-plugin-dir, --insecure-registry
`;
