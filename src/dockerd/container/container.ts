import type { ContainerConfig, EndpointSettings, Health, HostConfig } from "../../engine/types.ts";
import type { Attachment } from "../../monitor/index.ts";
import type { Descriptor } from "../../oci/image-spec.ts";
import type { Exec } from "../exec/exec.ts";
import type { SnapshotMount } from "../host.ts";
import { never } from "../time.ts";

/** A mount point as decided at create; volumes carry the name of theirs. */
export interface MountRecord {
  type: "bind" | "volume" | "tmpfs";
  /** Volume name. */
  name?: string;
  /** Host path of a bind or of the volume's data. */
  source: string;
  destination: string;
  driver?: string;
  /** The mode text as the user gave it. */
  mode: string;
  writable: boolean;
  propagation: string;
  recursive: boolean;
  /** Bind: read-only means all that is mounted below it, too. */
  recursiveReadOnly?: boolean;
  /** Volume: content of the image below is not copied in. */
  noCopy?: boolean;
  /** Volume: only this directory of it. */
  subpath?: string;
  /** Volume without a name of the user's: goes with `rm -v` and `--rm`. */
  anonymous?: boolean;
  /** Bind: the source is made when it is missing (`-v`, not `--mount`). */
  createSource?: boolean;
  /** tmpfs: its options. */
  data?: string;
}

export interface StoredState {
  running: boolean;
  paused: boolean;
  restarting: boolean;
  removing: boolean;
  dead: boolean;
  oomKilled: boolean;
  pid: number;
  exitCode: number;
  error: string;
  startedAt: string;
  finishedAt: string;
  health?: Health;
}

/** What of a container is kept in the database. */
export interface ContainerRecord {
  id: string;
  /** Without the slash. */
  name: string;
  created: string;
  path: string;
  args: string[];
  config: ContainerConfig;
  host: HostConfig;
  /** The image's id: the digest of its configuration. */
  image: string;
  manifest?: Descriptor;
  snapshotter: string;
  platform: string;
  state: StoredState;
  mounts: MountRecord[];
  /** By network name; what was asked, and while it runs what it has. */
  networks: Record<string, EndpointSettings>;
  sandboxId: string;
  sandboxKey: string;
  restartCount: number;
  /** Networks whose MAC address was made up, not asked for. */
  generatedMacs: string[];
  /** `stop` or `kill` by the user: `unless-stopped` leaves it alone. */
  manuallyStopped: boolean;
  startedBefore: boolean;
  /** How the running task's streams are reached. */
  monitorDir?: string;
  /** SELinux labels, where there are any: of its processes and of its files. */
  processLabel?: string;
  mountLabel?: string;
  /** AppArmor's profile, as it was at the last start. */
  apparmorProfile?: string;
}

export const newState = (): StoredState => ({
  running: false,
  paused: false,
  restarting: false,
  removing: false,
  dead: false,
  oomKilled: false,
  pid: 0,
  exitCode: 0,
  error: "",
  startedAt: never,
  finishedAt: never,
});

export type WaitFor = "not-running" | "next-exit" | "removed";

/** How a wait ended. */
export interface Ended {
  exitCode: number;
  error?: string;
}

/** A client that attached before the container has streams. */
export interface PendingAttach {
  want: { stdin: boolean; stdout: boolean; stderr: boolean };
  ready: (attachment: Attachment) => void;
  failed: () => void;
}

/** A container of this daemon: its record and what exists only while the daemon runs. */
export class Container {
  record: ContainerRecord;
  readonly execs = new Map<string, Exec>();
  readonly pendingAttaches = new Set<PendingAttach>();
  readonly #waiters: Record<WaitFor, Set<(ended: Ended) => void>> = {
    "not-running": new Set(),
    "next-exit": new Set(),
    removed: new Set(),
  };
  /** Nanoseconds of the next wait between restarts; 0 after a good run. */
  backoff = 0;
  restartTimer: ReturnType<typeof setTimeout> | undefined;
  /** Ends the health checks. */
  stopHealth: (() => void) | undefined;
  /** Set while the image is known to be unchanged below the container, to save mounting it for a lookup. */
  pristine = false;
  /** Until the first start: its root filesystem, as it was made. */
  rootfs: SnapshotMount[] | undefined;
  /** True between the user's stop or kill and the exit. */
  stopping = false;
  /** The exit that is being waited for has been taken care of when this resolves. */
  exitHandled: Promise<void> = Promise.resolve();

  constructor(record: ContainerRecord) {
    this.record = record;
  }

  get id(): string {
    return this.record.id;
  }
  get name(): string {
    return this.record.name;
  }
  get state(): StoredState {
    return this.record.state;
  }

  /** The one word of `State.Status`. */
  get status(): "created" | "running" | "paused" | "restarting" | "removing" | "exited" | "dead" {
    const { state } = this.record;
    if (state.running) return state.paused ? "paused" : state.restarting ? "restarting" : "running";
    if (state.removing) return "removing";
    if (state.dead) return "dead";
    return state.startedAt === never ? "created" : "exited";
  }

  /** Calls back once, when the condition holds; immediately when it does already. */
  wait(condition: WaitFor, done: (ended: Ended) => void): () => void {
    const { state } = this.record;
    if (condition === "not-running" && !state.running) {
      done({ exitCode: state.exitCode, ...(state.error ? { error: state.error } : {}) });
      return () => {};
    }
    this.#waiters[condition].add(done);
    return () => this.#waiters[condition].delete(done);
  }

  /** A promise of `wait`. */
  waitFor(condition: WaitFor, signal?: AbortSignal): Promise<Ended | undefined> {
    return new Promise((resolve) => {
      const stop = this.wait(condition, resolve);
      signal?.addEventListener("abort", () => {
        stop();
        resolve(undefined);
      });
      if (signal?.aborted) {
        stop();
        resolve(undefined);
      }
    });
  }

  /** Tells those who wait for one of these conditions, once, that it has come. */
  announce(...conditions: WaitFor[]): void {
    const { state } = this.record;
    for (const condition of conditions) {
      // A removal tells of its own failures only.
      const error = condition === "removed" || state.error === "" ? {} : { error: state.error };
      const ended: Ended = { exitCode: state.exitCode, ...error };
      const waiters = [...this.#waiters[condition]];
      this.#waiters[condition].clear();
      for (const waiter of waiters) waiter(ended);
    }
  }
}
