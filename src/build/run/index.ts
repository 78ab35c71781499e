/** RUN: processes on snapshots, through containerd's tasks. */
export { ProcessError } from "./error.ts";
export { runExecutor } from "./execute.ts";
export { sweepSteps } from "./sweep.ts";
