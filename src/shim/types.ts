import type { Any } from "@bufbuild/protobuf/wkt";
import type { Monitor, MonitorSpec } from "../monitor/index.ts";
import type { LinuxResources, Process, Spec } from "../oci/runtime-spec.ts";

/** A process that waits at its gate (create) or runs (exec), under its monitor. */
export interface Launched {
  pid: number;
  monitor: Monitor;
  /** Field 22 of its /proc/pid/stat, when the runtime has read it. */
  startTime?: string;
}

export type MonitorPlace = Omit<MonitorSpec, "run">;

/** What a shim needs of an OCI runtime: ours as a library, or another one by its command line. */
export interface OciRuntime {
  create(request: { id: string; bundle: string; spec: Spec; monitor: MonitorPlace }): Promise<Launched>;
  start(id: string): Promise<void>;
  exec(request: { id: string; bundle: string; process: Process; monitor: MonitorPlace }): Promise<Launched>;
  /** Fails with `not_found` when there is nothing left to signal. */
  kill(id: string, signal: number, all: boolean): Promise<void>;
  /** Fails with `not_found` when the runtime does not know the container. */
  remove(id: string, force: boolean): Promise<void>;
  pause(id: string): Promise<void>;
  resume(id: string): Promise<void>;
  update(id: string, resources: LinuxResources): Promise<void>;
  /** `created`, `running`, `paused` or `stopped`; fails with `not_found` when the runtime does not know the container. */
  status(id: string): Promise<string>;
  /** True when the freezer holds the container. */
  isPaused(id: string): Promise<boolean>;
  processes(id: string): Promise<number[]>;
  /** io.containerd.cgroups.v1.Metrics or v2. */
  stats(id: string, pid: number): Promise<Any>;
  checkpoint(request: CheckpointRequest): Promise<void>;
  /** A container as it was at its checkpoint: it runs. */
  restore(request: RestoreRequest): Promise<Launched>;
}

export interface CheckpointRequest {
  id: string;
  bundle: string;
  imagePath: string;
  /** For CRIU's log; "" when nobody wants it. */
  workPath: string;
  /** The container ends with it. */
  exit: boolean;
  openTcp: boolean;
  externalUnixSockets: boolean;
  terminal: boolean;
  fileLocks: boolean;
  cgroupsMode: string;
  emptyNamespaces: string[];
}

export interface RestoreRequest {
  id: string;
  bundle: string;
  spec: Spec;
  monitor: MonitorPlace;
  imagePath: string;
  workPath: string;
}

/** Which runtime a task has, as it is kept on disk. */
export interface RuntimeChoice {
  /** Absent: ours. */
  binary?: string;
  /** The runtime's state directory. */
  root: string;
  systemdCgroup: boolean;
  noPivotRoot: boolean;
  noNewKeyring: boolean;
  /** CRIU's program, when the options name one. */
  criu?: string;
}

/** What happened to a task, for the daemon's events. */
export type Publish = (namespace: string, topic: string, event: () => Any) => void;
