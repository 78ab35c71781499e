/** From a graph to its results. */
export { SolveError } from "./error.ts";
export { Solver } from "./solver.ts";
export type { Executors, Job, JobOptions, SourceText } from "./types.ts";
