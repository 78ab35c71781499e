/** From a graph to its results. */
export { type Job, Solver } from "./solver.ts";
export type { Executors, JobOptions, SourceText } from "./types.ts";
