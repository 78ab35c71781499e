/** What the table of engines and runtimes (docs/conformance.md) is made of. */
export const features = [
  "run",
  "exec",
  "tty",
  "stdin",
  "logs",
  "kill",
  "pause",
  "stats",
  "limits",
  "checkpoint",
] as const;
export type Feature = (typeof features)[number];

export const runtimes = ["ours", "runc", "crun", "runsc", "vm"] as const;
export type Runtime = (typeof runtimes)[number];

export const engines = [
  "our dockerd",
  "our containerd (ctr)",
  "our CRI (crictl)",
  "dockerd 20.10",
  "containerd 1.6 (ctr)",
  "containerd 1.6's CRI",
  "podman 4.3",
] as const;
export type EngineName = (typeof engines)[number];

/** Passed, failed, or not offered by that runtime or that engine. */
export type Cell = "yes" | "FAILED" | "–";
export type Row = Record<Feature, Cell>;

export interface Once {
  code: number;
  stdout: string;
}

/** How much longer things may take than with the others: machines are emulated here, on a host that has other things to do. */
export const slowness = (runtime: Runtime): number => (runtime === "vm" ? 10 : 1);

/** One engine with one runtime; ids are of the caller's choice. */
export interface Driver {
  /** Runs a command to its end. */
  once(id: string, command: string[], options?: { tty?: boolean; input?: string }): Promise<Once>;
  /** Starts a container with a memory limit of 64 MiB. */
  start(id: string, command: string[]): Promise<void>;
  exec(id: string, command: string[]): Promise<Once>;
  logs(id: string): Promise<string>;
  /** Sends SIGTERM (or what the engine's stop sends) and gives the exit code. */
  kill(id: string): Promise<number>;
  /** True when it was seen paused and runs again; undefined when the engine has no such call. */
  pause(id: string): Promise<boolean | undefined>;
  /** Used memory in bytes, as the engine tells it. */
  stats(id: string): Promise<number>;
  /** The memory limit as the engine tells it, where the container does not see it. */
  limit?(id: string): Promise<number>;
  /** True when a checkpoint was made. */
  checkpoint(id: string): Promise<boolean>;
  remove(id: string): Promise<void>;
}

export interface Engine extends AsyncDisposable {
  driver(runtime: Runtime): Promise<Driver>;
}
