import type { ExitRecord, Monitor } from "../../monitor/index.ts";
import type { Spec } from "../../oci/runtime-spec.ts";
import type { Launched, MonitorPlace, OciRuntime, RuntimeChoice } from "../../shim/types.ts";

/** How a container's process is started and watched; kept with it, so that a change of the configuration is for later ones. */
export interface ProcessChoice {
  runtime: RuntimeChoice;
  /** Absent: our monitor. */
  conmon?: ConmonChoice;
}

export interface ConmonChoice {
  path: string;
  /** Where it leaves exit codes, by container. */
  exitDir: string;
  /** Below it lie the attach sockets, by container: a socket's path has 107 bytes. */
  socketDir: string;
  env: string[];
  logSizeMax: number;
  noSyncLog: boolean;
  systemdCgroup: boolean;
}

/** A process found again after a restart. */
export interface Adopted {
  monitor?: Monitor;
  exited: Promise<ExitRecord>;
  /** It ended while nobody looked. */
  over: boolean;
}

/** An OCI runtime with a monitor of one kind. */
export interface MonitoredRuntime extends Omit<OciRuntime, "create"> {
  create(request: {
    id: string;
    bundle: string;
    spec: Spec;
    /** `stdinOnce`: the end of the first client's input ends the process' input. */
    monitor: MonitorPlace & { stdinOnce: boolean };
  }): Promise<Launched>;
  adopt(id: string, dir: string, pid: number, startTime: string | undefined): Promise<Adopted>;
  /** Ends what a create that nobody recorded may have started. */
  endUnrecorded(id: string, dir: string): Promise<void>;
  /** What its monitor left outside of `dir`. */
  forget(id: string): void;
}

/** What is kept of a process in `<dir>/process.json`, written before anything is made. */
export interface ProcessRecord {
  version: 1;
  choice: ProcessChoice;
  bundle: string;
  state: "making" | "made" | "started";
  pid: number;
  startTime?: string;
}
