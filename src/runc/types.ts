import type { Launcher } from "../monitor/index.ts";
import type { ContainerStatus, HookState, Process, Spec } from "../oci/runtime-spec.ts";

/** Where a warning of the runtime goes (runc's log); the library itself never writes to stderr. */
export type Warn = (message: string) => void;

export interface CreateOptions {
  /** Directory of all containers' state, `/run/runc` by default in the CLI. */
  root: string;
  id: string;
  bundle: string;
  /** Starts the init: directly (runc's CLI) or below a monitor (the shim). */
  launcher: Launcher;
  /** The configuration, when the caller has it already; otherwise `<bundle>/config.json` is read. */
  spec?: Spec;
  /** The caller keeps the bundle, and after a crash finds by it the cgroups of a create that was cut short. */
  keepsBundle?: boolean;
  noPivot?: boolean;
  noNewKeyring?: boolean;
  /** Resolved by the caller: absolute. */
  pidFile?: string;
  /** AF_UNIX socket that gets the master end of the terminal. */
  consoleSocket?: string;
  /** A connected socket that gets the master end, instead of `consoleSocket`. Without both it goes to the monitor. */
  consoleFd?: number;
  /** Descriptors 3 … 3+n-1 of this process go on into the container. */
  preserveFds?: number;
  /** $LISTEN_FDS of the caller; they come first, and are counted in the container's environment. */
  listenFds?: number;
  systemdCgroup?: boolean;
  /** Ignore permission errors on cgroups. */
  rootlessCgroups?: boolean;
  warn?: Warn;
}

/** What is kept of a container in `<root>/<id>/state.json`. */
export interface State {
  version: 1;
  id: string;
  bundle: string;
  rootfs: string;
  /** RFC 3339 with nanoseconds. */
  created: string;
  pid: number;
  /** Field 22 of /proc/pid/stat: tells this process from a later one with the same pid. */
  startTime: string;
  owner: string;
  /** Directories of the container's cgroup: by controller for v1 (`""` is the v2 tree), one `""` for v2. */
  cgroupPaths: Record<string, string>;
  /** Namespaces a new process of the container joins, by type. */
  namespaces: Record<string, string>;
  spec: Spec;
  /** What its stdio was at first, without a terminal: a checkpoint takes those pipes for the outside's. */
  descriptors?: string[];
  noNewKeyring?: boolean;
  systemdCgroup?: boolean;
  rootlessCgroups?: boolean;
}

/** What `runc state` prints. */
export interface StateReport extends HookState {
  pid: number;
  rootfs: string;
  created: string;
  owner: string;
}

export interface ExecOptions {
  root: string;
  id: string;
  process: Process;
  launcher: Launcher;
  pidFile?: string;
  consoleSocket?: string;
  consoleFd?: number;
  preserveFds?: number;
  listenFds?: number;
  /** `[controllers:]path` below the container's cgroup. */
  cgroups?: string[];
  ignorePaused?: boolean;
  warn?: Warn;
}

export type { ContainerStatus };
