import type { ContainerdClient } from "../../containerd/client/index.ts";
import type { ImportedCache } from "../export/index.ts";
import type { Operation } from "../graph.ts";
import type { BuildRequest, Executor } from "../types.ts";

/** Who evaluates which kind of operation. */
export type Executors = {
  readonly [K in Operation["kind"]]: Executor<Extract<Operation, { kind: K }>>;
};

export interface JobOptions {
  request: BuildRequest;
  /** Holds what is made by the build's lease; the lease must live until `Job.close()` has resolved. */
  client: ContainerdClient;
  /** --cache-from, asked in order for what our own cache does not have. */
  imports?: readonly ImportedCache[];
}

/** The Dockerfile, for the excerpts of errors. */
export interface SourceText {
  filename: string;
  text: string;
}
