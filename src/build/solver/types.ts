import type { ContainerdClient } from "../../containerd/client/index.ts";
import type { Digest } from "../../oci/digest.ts";
import type { Cache } from "../cache/index.ts";
import type { CacheRecord, ImportedCache } from "../export/index.ts";
import type { Operation, Vertex } from "../graph.ts";
import type { BuildRequest, BuildServices, Executor, Result } from "../types.ts";
import type { Slots } from "./slots.ts";
import type { Work } from "./work.ts";

/** Who evaluates which kind of operation. */
export type Executors = {
  readonly [K in Operation["kind"]]: Executor<Extract<Operation, { kind: K }>>;
};

export interface JobOptions {
  request: BuildRequest;
  /** Holds what is made by the build's lease; the lease must live until `Job.settled` has resolved. */
  client: ContainerdClient;
  /** --cache-from, asked in order for what our own cache does not have. */
  imports?: readonly ImportedCache[];
}

/** The Dockerfile, for the excerpts of errors. */
export interface SourceText {
  filename: string;
  text: string;
}

/** One build's part of the solver. */
export interface Job {
  /** Results in the order of the vertices. The first failure cancels the rest and is thrown as a SolveError. */
  solve(vertices: readonly Vertex[], source?: SourceText): Promise<Result[]>;
  /** What was evaluated or found, as a cache is exported; `final` for what the vertices' layers are made of. */
  records(vertices: readonly Vertex[]): CacheRecord[];
  /**
   * Gives up what still runs, and waits for its end and for what was deferred; but not when other builds wait for something
   * that was begun for this one: then it answers false.
   */
  close(): Promise<boolean>;
  /** After `close`: everything that was begun for this build has ended, and what was deferred has run. */
  readonly settled: Promise<void>;
}

/** A vertex's result, and the record of the cache that it has. */
export interface Evaluated {
  result: Result;
  /** Absent: not remembered (images, directories). */
  id?: string;
  createdAt?: Date;
  /** Nothing was executed. */
  cached: boolean;
}

/** What the builds of one solver have in common. */
export interface Shared {
  readonly services: BuildServices;
  readonly cache: Cache;
  readonly executors: Executors;
  readonly slots: Slots;
  /** The running work of this key, or a new one. */
  work(
    key: string,
    vertex: Vertex,
    run: (work: Work<Evaluated>) => Promise<Evaluated>,
  ): { work: Work<Evaluated>; begun: boolean };
}

/** The keys of a vertex as far as they are known without its result. */
export interface Keys {
  /** Canonical when the cache knows it; else what it will be. */
  key: Digest;
  /** Others that shall lead to it. */
  aliases: readonly Digest[];
}
