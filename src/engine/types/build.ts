/**
 * `POST /corten/build`: what `corten build` asks its own daemon. The body says all but the directories' contents; the
 * connection is then taken over and carries frames (engine/build/frames.ts) both ways.
 */

/** A directory of the client that the build may need. */
export interface BuildContext {
  /** `context`, `dockerfile`, or the NAME of --build-context. */
  name: string;
  /**
   * Where it is on the client. A daemon that sees the same directory there (by device and inode, over a unix socket) reads
   * it in place; any other asks for its content.
   */
  path: string;
  device: string;
  inode: string;
}

export interface BuildOutput {
  /** As in --output; `local` is sent as a tar for the client to unpack. */
  type: "image" | "docker" | "oci" | "tar" | "local" | "cacheonly";
  attributes: Record<string, string>;
  /** True: its bytes are sent in frames of the output's number. */
  stream: boolean;
}

export interface BuildCacheOption {
  type: string;
  attributes: Record<string, string>;
}

export interface BuildBody {
  id: string;
  contexts: BuildContext[];
  /** `-f -`: the Dockerfile itself. */
  dockerfile?: string;
  filename?: string;
  /** The context that the Dockerfile is in, when not `context`. */
  dockerfileContext?: string;
  /** A tar as context (`-` with a tar on stdin): it is sent in frames of channel 0. */
  contextIsArchive?: boolean;
  remoteContext?: string;
  target?: string;
  buildArgs?: Record<string, string>;
  labels?: Record<string, string>;
  platforms?: string[];
  noCache?: boolean;
  noCacheFilter?: string[];
  pull?: boolean;
  /** As written, but `local:NAME` for one of `contexts`. */
  namedContexts?: Record<string, string>;
  extraHosts?: string[];
  network?: string;
  shmSize?: number;
  ulimits?: { name: string; soft: number; hard: number }[];
  cgroupParent?: string;
  /** Limits of each step; sizes in bytes. */
  resources?: {
    memory?: number;
    memorySwap?: number;
    cpuShares?: number;
    cpuPeriod?: number;
    cpuQuota?: number;
    cpusetCpus?: string;
    cpusetMems?: string;
  };
  entitlements?: string[];
  /** id → base64. */
  secrets?: Record<string, string>;
  /** id → path of the agent's socket on the client; only for a daemon on the same host. */
  ssh?: Record<string, string>;
  outputs?: BuildOutput[];
  cacheFrom?: BuildCacheOption[];
  cacheTo?: BuildCacheOption[];
  attestations?: Record<string, Record<string, string>>;
  sourceDateEpoch?: number;
  tags?: string[];
  check?: boolean;
  call?: string;
}

/** Progress in the JSON of BuildKit's `--progress=rawjson` (client.SolveStatus); times are RFC3339Nano. */
export interface BuildStatus {
  vertexes?: {
    digest: string;
    inputs?: readonly string[];
    name: string;
    started?: string;
    completed?: string;
    cached?: boolean;
    error?: string;
  }[];
  statuses?: {
    id: string;
    vertex: string;
    name: string;
    total?: number;
    current: number;
    timestamp: string;
    started?: string;
    completed?: string;
  }[];
  logs?: {
    vertex: string;
    stream: number;
    /** Base64. */
    data: string;
    timestamp: string;
  }[];
  warnings?: {
    vertex: string;
    level: number;
    /** Base64, as Go encodes []byte. */
    short: string;
    detail?: string[];
    url?: string;
    sourceInfo?: { filename: string; data: string };
    range?: {
      start: { line: number; character: number };
      end: { line: number; character: number };
    }[];
  }[];
}

/** The last frame of a build that succeeded. */
export interface BuildDone {
  response: Record<string, string>;
  imageId?: string;
}

/** The last frame of one that failed. */
export interface BuildFailed {
  message: string;
  /** The lines of the Dockerfile that the failure is about, marked. */
  excerpt?: string;
  code: string;
  /** Of the process that failed. */
  exitCode?: number;
}
