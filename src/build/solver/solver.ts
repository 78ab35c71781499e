import { unimplemented } from "../../base/errors.ts";
import type { Cache } from "../cache/index.ts";
import type { CacheRecord } from "../export/index.ts";
import type { Vertex } from "../graph.ts";
import type { BuildServices, Result } from "../types.ts";
import type { Executors, JobOptions, SourceText } from "./types.ts";

/** Evaluates the graphs of all builds of a daemon: equal steps that run at the same time run once. */
export class Solver {
  constructor(
    readonly services: BuildServices,
    readonly cache: Cache,
    readonly executors: Executors,
  ) {}

  /** Begins a build; what it evaluates is remembered in it until it is closed. */
  job(_options: JobOptions): Job {
    throw unimplemented("being written");
  }
}

/** One build's part of the solver. */
export interface Job {
  /** Results in the order of the vertices. The first failure cancels the rest and is thrown as a SolveError. */
  solve(vertices: readonly Vertex[], source?: SourceText): Promise<Result[]>;
  /** What was evaluated or found, as a cache is exported; `final` for what `vertices` are made of. */
  records(vertices: readonly Vertex[]): CacheRecord[];
  /** Leaves work that others wait for, waits for the rest of its own, and runs what was deferred. */
  close(): Promise<void>;
}
