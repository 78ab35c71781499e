import type { Readable, Writable } from "node:stream";

/** A plan ready for the native machine. Made by runc/plan/encode.ts; this folder only carries it. */
export interface EncodedPlan {
  bytes: Uint8Array;
  /** Descriptors of ours that become slots 0, 1, … They stay ours to close. */
  fds: number[];
  steps: number;
  /** What step number `step` (from 0) does, for messages and trace spans. */
  describe(step: number): string;
  /** Called at a `sync` operation; the plan goes on when it resolves and is abandoned when it rejects. */
  onSync?: (id: number, pid: number) => Promise<void>;
}

/** One executed operation: CLOCK_MONOTONIC nanoseconds. runc makes spans of them. */
export interface StepTiming {
  step: number;
  name: string;
  start: bigint;
  end: bigint;
}

/** A tolerant operation that failed: the plan went on. */
export interface StepWarning {
  step: number;
  errno: number;
  /** `set rlimit RLIMIT_NOFILE to 1048576:1048576: operation not permitted` */
  message: string;
}

export interface LaunchedProcess {
  pid: number;
  timings: StepTiming[];
  warnings: StepWarning[];
}

export interface Launcher {
  /** Resolves when the process waits at its start gate, or has been exec'ed in a plan without a gate. Throws PlanError. */
  launch(plan: EncodedPlan): Promise<LaunchedProcess>;
}

export interface ExitRecord {
  /** As a shell has it: 128 + signal for a killed process. */
  exitCode: number;
  signal?: number;
  /** RFC3339Nano, UTC. */
  exitedAt: string;
  oomKilled: boolean;
  /** Why the process never ran its program (exec failed after start). */
  error?: string;
}

export interface MonitorLog {
  path: string;
  format: "json-file" | "cri" | "raw";
  /** Bytes after which the file is rotated; never when left out. */
  maxSize?: number;
  /** Files kept in all, the current one included. */
  maxFiles?: number;
}

export interface MonitorSpec {
  /** Runtime directory of this process (made when missing, 0700): monitor.sock, exit.json and pid live here. */
  dir: string;
  run:
    | { kind: "plan"; plan: EncodedPlan }
    | { kind: "runtime"; argv: string[]; pidFile: string; consoleSocket?: string }
    | { kind: "fifo" };
  terminal: boolean;
  size?: { rows: number; columns: number };
  stdin: boolean;
  /**
   * The process's output stays unread (in its pipe or pty) until the first client has attached: an exec's client, which
   * can only attach after the process runs, misses nothing. Without a client the hold ends 10 s after the process has.
   * Asked for by dockerd's execs through `monitor://…?hold=1`.
   */
  hold?: boolean;
  log?: MonitorLog;
  fifos?: { stdin?: string; stdout?: string; stderr?: string };
  /** A mount that the monitor keeps in use until its clients leave, so that unmounting costs them nothing. */
  rootfs?: string;
  /** Where OOM kills are seen: a cgroup v1 memory directory or a cgroup v2 directory. */
  oom?: { version: 1 | 2; path: string };
}

/** A client's streams. A container with a terminal has everything on stdout. */
export interface Attachment {
  /** Ends the container's stdin when ended (not with a terminal). Undefined when not asked for. */
  readonly stdin: Writable | undefined;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Leaves without ending the container's stdin. */
  close(): void;
}

export interface Monitor {
  /** The container's process; 0 for a FIFO monitor. */
  readonly pid: number;
  /** The monitor's own process. */
  readonly monitorPid: number;
  /** Empty after `connectMonitor`, and when the launch was not traced. */
  readonly timings: StepTiming[];
  readonly warnings: StepWarning[];
  /** Acknowledged: nothing written after it is missed. The container's output waits for who does not read. */
  attach(want: { stdin: boolean; stdout: boolean; stderr: boolean }): Promise<Attachment>;
  resize(rows: number, columns: number): Promise<void>;
  /** By pidfd; throws not_found when the process has ended. */
  signal(number: number): Promise<void>;
  reopenLog(): Promise<void>;
  closeStdin(): Promise<void>;
  /** After all output has been logged and given to the attached clients. Never rejects for an ended process. */
  readonly exited: Promise<ExitRecord>;
  /** Drops the connection; the monitor lives on. */
  close(): void;
}
