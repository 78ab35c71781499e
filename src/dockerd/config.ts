/** The daemon's settings after flags and daemon.json were merged. */
export interface DaemonConfig {
  /** Persistent root. */
  dataRoot: string;
  /** Runtime root. */
  execRoot: string;
  /** Names and addresses the daemon listens on, as given. */
  hosts: string[];
  /** For the TCP ones among them. */
  tls?: TlsFiles;
  /** Name → the OCI runtime's executable; the built-in one has no path. */
  runtimes: Record<string, RuntimeConfig>;
  defaultRuntime: string;
  /** A foreign containerd's socket, when not in-process. */
  containerd?: string;
  snapshotter: string;
  /** "none" turns the default bridge network off. */
  bridge?: string;
  debug: boolean;
  insecureRegistries: string[];
  registryMirrors: string[];
  defaultShmSize: number;
  logDriver: string;
  logOpts: Record<string, string>;
  /** Labels of the daemon. */
  labels: string[];
  /** Adds `--init` to every container. */
  init: boolean;
  initPath?: string;
  cgroupParent: string;
  /** Who makes containers' cgroups: the runtime, or systemd when it is asked. */
  cgroupDriver: "cgroupfs" | "systemd";
  dns: string[];
  dnsSearch: string[];
  dnsOptions: string[];
  defaultUlimits: Record<string, { soft: number; hard: number }>;
  seccompProfile?: string;
  noNewPrivileges: boolean;
  /** Labels for containers, where the machine has SELinux. */
  selinux: boolean;
  shutdownTimeout: number;
  /** Docker's word for what may change: checkpoints. */
  experimental: boolean;
}

/** PEM files of the daemon's key, its certificate, and the authority of its clients' certificates. */
export interface TlsFiles {
  cert: string;
  key: string;
  /** Read only to check clients. */
  ca: string;
  /** False for `--tlsverify=false`: whoever connects is let in. */
  verify: boolean;
}

export interface RuntimeConfig {
  /** Executable of an OCI runtime; absent for the built-in one. */
  path?: string;
  /** A containerd shim's type such as `io.containerd.kata.v2`, or its path, in place of an OCI runtime. */
  type?: string;
  /** The shim's options, as daemon.json has them. */
  options?: Record<string, unknown>;
}

/** The runtime that is part of this program. */
export const builtinRuntime = "corten";
/** Each container in a virtual machine (docs/vm.md): no path either, but the name by which the shim knows it. */
export const vmRuntime = "vm";

export function defaultConfig(): DaemonConfig {
  return {
    dataRoot: "/var/lib/corten",
    execRoot: "/run/corten",
    hosts: [],
    runtimes: { [builtinRuntime]: {}, [vmRuntime]: { path: "vm" } },
    defaultRuntime: builtinRuntime,
    snapshotter: "overlayfs",
    debug: false,
    insecureRegistries: [],
    registryMirrors: [],
    defaultShmSize: 64 << 20,
    logDriver: "json-file",
    logOpts: {},
    labels: [],
    init: false,
    cgroupParent: "",
    cgroupDriver: "cgroupfs",
    dns: [],
    dnsSearch: [],
    dnsOptions: [],
    defaultUlimits: {},
    noNewPrivileges: false,
    selinux: false,
    shutdownTimeout: 15,
    experimental: false,
  };
}
