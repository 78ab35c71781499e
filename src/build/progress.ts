/**
 * What a build tells while it runs: BuildKit's model (control.proto, StatusResponse). The classic stream of
 * `POST /build`, the CLI's plain, tty and rawjson forms and the gRPC Status call are all made from it.
 */
import type { Digest } from "../oci/digest.ts";
import type { SourceRange } from "./graph.ts";

export interface VertexProgress {
  digest: Digest;
  inputs: readonly Digest[];
  name: string;
  started?: Date;
  completed?: Date;
  cached: boolean;
  error?: string;
}

/** A line of progress inside a vertex: a layer being pulled, bytes transferred, an export's step. */
export interface StatusProgress {
  /** Unique within its vertex. */
  id: string;
  vertex: Digest;
  name: string;
  current: number;
  /** 0 when unknown. */
  total: number;
  timestamp: Date;
  started?: Date;
  completed?: Date;
}

export interface LogProgress {
  vertex: Digest;
  stream: 1 | 2;
  data: Uint8Array;
  timestamp: Date;
}

export interface WarningProgress {
  vertex: Digest;
  level: number;
  /** `RuleName: text`. */
  short: string;
  detail: readonly string[];
  url: string;
  filename: string;
  source: string;
  ranges: readonly SourceRange[];
}

export interface Progress {
  vertex(progress: VertexProgress): void;
  status(progress: StatusProgress): void;
  log(progress: LogProgress): void;
  warning(progress: WarningProgress): void;
}
