import type { KeyedMutex } from "../base/async.ts";
import type { Database } from "../base/database.ts";
import type { Removal } from "../base/removal.ts";
import type { ContainerdClient } from "../containerd/client/index.ts";
import type { Attachment, Monitor } from "../monitor/index.ts";
import type { Networks } from "../network/index.ts";
import type { SelinuxLabels } from "../oci/selinux.ts";
import type { Builds } from "./build/builds.ts";
import type { DaemonConfig } from "./config.ts";
import type { OomWatch } from "./container/oom.ts";
import type { ContainerStore } from "./container/store.ts";
import type { EventBus } from "./events/bus.ts";
import type { ExecStore } from "./exec/store.ts";
import type { Host } from "./host.ts";
import type { Call as HttpCall, Handler as HttpHandler, Route as HttpRoute } from "./http/router.ts";
import type { ImageStore } from "./images/store.ts";
import type { HostFacts } from "./spec/build.ts";
import type { TraceStore } from "./traces.ts";
import type { VolumeStore } from "./volumes/store.ts";

/** How the daemon reaches the streams of processes; the monitor folder implements it, tests fake it. */
export interface Monitors {
  /** The streams of the process whose monitor lives there; not_found when it has ended. */
  attach(dir: string, want: { stdin: boolean; stdout: boolean; stderr: boolean }): Promise<Attachment>;
  /** The exit record of a process's directory, if it has ended. */
  exit(dir: string): { exitCode: number; exitedAt: string; oomKilled: boolean } | undefined;
  /** For a foreign containerd: a monitor that owns nothing but the FIFOs' other ends. */
  spawnFifo(options: {
    dir: string;
    terminal: boolean;
    stdin: boolean;
    fifos: { stdin?: string; stdout?: string; stderr?: string };
    log?: { path: string; format: "json-file"; maxSize?: number; maxFiles?: number };
  }): Promise<Monitor>;
}

/** AppArmor of this machine (src/sys/apparmor). */
export interface ProfileLoader {
  /** Profiles can be loaded. */
  readonly supported: boolean;
  /** The kernel's profiles can be seen. */
  readonly visible: boolean;
  load(name: string): Promise<void>;
  ensure(name: string): Promise<void>;
}

/** Everything a request can need. Made once in index.ts. */
export interface Daemon {
  readonly config: DaemonConfig;
  readonly db: Database;
  /** Stable id of this data root. */
  readonly id: string;
  readonly containerd: ContainerdClient;
  /** True when containerd is part of this process (its shims know `monitor://`). */
  readonly inProcess: boolean;
  readonly networks: Networks;
  readonly monitors: Monitors;
  readonly host: Host;
  readonly facts: HostFacts;
  readonly events: EventBus;
  readonly traces: TraceStore;
  readonly containers: ContainerStore;
  readonly execs: ExecStore;
  readonly images: ImageStore;
  readonly volumes: VolumeStore;
  readonly selinux: SelinuxLabels;
  readonly apparmor: ProfileLoader;
  readonly builds: Builds;
  /** One state change at a time for each container. */
  readonly locks: KeyedMutex;
  containerdVersion(): Promise<{ version: string; revision: string }>;
  /** Directories of removed containers, below the data root and the exec root. */
  readonly removal: { readonly data: Removal; readonly exec: Removal };
  /** Absent while the daemon looks for what an earlier one left. */
  ooms?: OomWatch;
  /** True once the daemon ends: nothing is restarted any more. */
  closing: boolean;
}

export type Call = HttpCall<Daemon>;
export type Handler = HttpHandler<Daemon>;
export type Route = HttpRoute<Daemon>;
