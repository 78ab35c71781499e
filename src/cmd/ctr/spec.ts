import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { invalid } from "../../base/errors.ts";
import { capabilitiesOfMask, defaultCapabilities } from "../../oci/capabilities.ts";
import { hiddenPaths } from "../../oci/default-spec.ts";
import type { ImageConfig } from "../../oci/image-spec.ts";
import type { LinuxNamespaceType, Mount, Process, Spec, User } from "../../oci/runtime-spec.ts";
import { cgroupLayout } from "../../sys/cgroup/index.ts";
import type { Flags } from "./flags.ts";
import { pair } from "./images.ts";

const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Flags that shape the specification, for `run` and `containers create`. */
export const specFlags = {
  "tty,t": "boolean",
  env: "list",
  cwd: "string",
  user: "string",
  mount: "list",
  label: "list",
  annotation: "list",
  "read-only": "boolean",
  privileged: "boolean",
  "net-host": "boolean",
  hostname: "string",
  "cap-add": "list",
  "cap-drop": "list",
  "with-ns": "list",
  "memory-limit": "string",
  cpus: "string",
  "allow-new-privs": "boolean",
  cgroup: "string",
} as const;

/** containerd's default specification, then the image's configuration, then the flags. */
export function makeSpec(
  flags: Flags,
  namespace: string,
  id: string,
  image: ImageConfig,
  args: readonly string[],
  userOf: (name: string) => User,
): Spec {
  const config = image.config ?? {};
  const env = withDefaults([...(config.Env ?? [])], flags.list("env"));
  if (flags.is("tty")) env.push("TERM=xterm");
  if (flags.is("net-host")) env.push(`HOSTNAME=${hostname()}`);
  const command = args.length > 0 ? [...args] : [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])];
  if (command.length === 0) throw invalid("no arguments specified");
  const capabilities = chooseCapabilities(flags);
  const process: Process = {
    terminal: flags.is("tty"),
    user: userOf(flags.get("user") ?? config.User ?? ""),
    args: command,
    env,
    cwd: flags.get("cwd") ?? (config.WorkingDir || "/"),
    capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
    rlimits: [{ type: "RLIMIT_NOFILE", hard: 1024, soft: 1024 }],
    noNewPrivileges: !flags.is("allow-new-privs") && !flags.is("privileged"),
  };
  const annotations = Object.fromEntries([...flags.list("annotation"), ...flags.list("label")].map(pair));
  const name = flags.get("hostname");
  return {
    ociVersion: "1.0.2-dev",
    process,
    root: { path: "rootfs", ...(flags.is("read-only") ? { readonly: true } : {}) },
    ...(name ? { hostname: name } : {}),
    mounts: [
      ...defaultMounts(flags.is("privileged")),
      ...hostFiles(flags),
      ...flags.list("mount").map(parseMount),
    ],
    annotations,
    linux: {
      cgroupsPath: flags.get("cgroup") ?? `/${namespace}/${id}`,
      resources: {
        devices: flags.is("privileged")
          ? [{ allow: true, access: "rwm" }]
          : [{ allow: false, access: "rwm" }],
        ...limits(flags),
      },
      namespaces: chooseNamespaces(flags),
      ...(flags.is("privileged") ? {} : hiddenPaths),
    },
  };
}

function withDefaults(env: string[], more: readonly string[]): string[] {
  const all = env.some((entry) => entry.startsWith("PATH=")) ? env : [defaultPath, ...env];
  for (const entry of more) {
    const [name] = pair(entry);
    const at = all.findIndex((other) => pair(other)[0] === name);
    if (at >= 0) all[at] = entry;
    else all.push(entry);
  }
  return all;
}

function chooseCapabilities(flags: Flags): string[] {
  for (const name of [...flags.list("cap-add"), ...flags.list("cap-drop")])
    if (!name.startsWith("CAP_")) throw invalid("capabilities must be specified with 'CAP_' prefix");
  const drop = new Set(flags.list("cap-drop"));
  const base = flags.is("privileged") ? boundingSet() : defaultCapabilities;
  return [...new Set([...base, ...flags.list("cap-add")])].filter((name) => !drop.has(name));
}

/** All capabilities this machine lets a process have. */
function boundingSet(): string[] {
  const status = readFileSync("/proc/self/status", "utf8");
  return [...capabilitiesOfMask(status.match(/^CapBnd:\s*([0-9a-f]+)/m)?.[1] ?? "0")];
}

function limits(flags: Flags): NonNullable<NonNullable<Spec["linux"]>["resources"]> {
  const memory = Number(flags.get("memory-limit") ?? 0);
  const cpus = Number(flags.get("cpus") ?? 0);
  if (Number.isNaN(memory) || Number.isNaN(cpus)) throw invalid("--memory-limit and --cpus take numbers");
  return {
    ...(memory > 0 ? { memory: { limit: memory } } : {}),
    ...(cpus > 0 ? { cpu: { quota: Math.round(cpus * 100_000), period: 100_000 } } : {}),
  };
}

const namespaceTypes: readonly LinuxNamespaceType[] = [
  "pid",
  "ipc",
  "uts",
  "mount",
  "network",
  "user",
  "cgroup",
  "time",
];

function chooseNamespaces(flags: Flags): NonNullable<NonNullable<Spec["linux"]>["namespaces"]> {
  const chosen = new Map<LinuxNamespaceType, string | undefined>();
  for (const type of ["pid", "ipc", "uts", "mount", "network"] as const) chosen.set(type, undefined);
  if (cgroupLayout().mode === "v2") chosen.set("cgroup", undefined);
  if (flags.is("net-host")) chosen.delete("network");
  for (const text of flags.list("with-ns")) {
    const [name, path, ...rest] = text.split(":");
    const type = namespaceTypes.find((known) => known === name);
    if (!path || rest.length > 0)
      throw invalid("joining a Linux namespace using --with-ns requires the format 'nstype:path'");
    if (!type) throw invalid(`the Linux namespace type specified in --with-ns is not valid: ${name}`);
    chosen.set(type, path);
  }
  return [...chosen].map(([type, path]) => (path ? { type, path } : { type }));
}

const mount = (destination: string, type: string, source: string, options: string): Mount => ({
  destination,
  type,
  source,
  options: options.split(","),
});

function defaultMounts(privileged: boolean): Mount[] {
  return [
    mount("/proc", "proc", "proc", "nosuid,noexec,nodev"),
    mount("/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
    mount("/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
    mount("/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=65536k"),
    mount("/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"),
    mount("/sys", "sysfs", "sysfs", `nosuid,noexec,nodev,${privileged ? "rw" : "ro"}`),
    mount("/run", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
  ];
}

const hostFiles = (flags: Flags): Mount[] =>
  flags.is("net-host")
    ? ["/etc/hosts", "/etc/resolv.conf"].map((path) => mount(path, "bind", path, "rbind,ro"))
    : [];

/** `type=bind,src=/a,dst=/b,options=rbind:ro` */
function parseMount(text: string): Mount {
  const made: Mount = { destination: "" };
  for (const field of text.split(",")) {
    const [key, value] = pair(field);
    if (!field.includes("=")) throw invalid("invalid mount specification: expected key=val");
    if (key === "type") made.type = value;
    else if (key === "source" || key === "src") made.source = value;
    else if (key === "destination" || key === "dst") made.destination = value;
    else if (key === "options") made.options = value.split(":");
    else throw invalid(`mount option "${key}" not supported`);
  }
  return made;
}
