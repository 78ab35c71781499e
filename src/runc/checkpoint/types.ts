/** Options of `checkpoint` and `restore`, with runc's meanings. */
import type { Spec } from "../../oci/runtime-spec.ts";
import type { Warn } from "../types.ts";

/** `default` leaves it to CRIU, which takes `soft`. */
export type CgroupsMode = "default" | "soft" | "full" | "strict" | "ignore";

/** What both verbs have. */
export interface CriuOptions {
  root: string;
  id: string;
  /** Directory of the images; made when it is missing. */
  imagePath: string;
  /** Directory of CRIU's log and of what else is no image; the images' when left out. */
  workPath?: string;
  /** CRIU's program; `criu` in $PATH when left out. */
  criu?: string;
  tcpEstablished?: boolean;
  extUnixSk?: boolean;
  shellJob?: boolean;
  fileLocks?: boolean;
  autoDedup?: boolean;
  lazyPages?: boolean;
  manageCgroups?: CgroupsMode;
  /** Written when the lazy-pages server is ready. */
  statusFd?: number;
  warn?: Warn;
}

export interface CheckpointOptions extends CriuOptions {
  /** The images of the pre-dump before, relative to `imagePath`. */
  parentPath?: string;
  leaveRunning?: boolean;
  tcpSkipInFlight?: boolean;
  linkRemap?: boolean;
  /** Only the memory; the container goes on. */
  preDump?: boolean;
  /** Pages go to a page server instead of files. */
  pageServer?: { address: string; port: number };
}

export interface RestoreOptions extends CriuOptions {
  bundle: string;
  spec: Spec;
  /** The restored process is to be a child of our parent's subreaper and we leave. */
  systemdCgroup?: boolean;
  rootlessCgroups?: boolean;
  pidFile?: string;
  /** A connected socket that gets the terminal's master end; `consoleSocket` is a path to connect to. */
  consoleFd?: number;
  consoleSocket?: string;
  lsmProfile?: string;
  lsmMountContext?: string;
}
