import { unimplemented } from "../base/errors.ts";
import type { EncodedPlan, LaunchedProcess, Launcher } from "./types.ts";

export interface DirectOptions {
  /** Descriptors for the container's 0, 1, 2; ours are inherited when left out. */
  stdio?: readonly [number | "ignore", number | "ignore", number | "ignore"];
  /** Leave the process to our own parent or the next subreaper (runc create, run -d) instead of waiting for it. */
  detach?: boolean;
}

export interface DirectProcess extends LaunchedProcess {
  /** The process' status as a shell has it (128 + signal). Never resolves for a detached one. */
  readonly exited: Promise<number>;
}

/** Runs a plan without a monitor: the process has our stdio. For runc's command line. */
export function directLauncher(options: DirectOptions = {}): Launcher & {
  launch(plan: EncodedPlan): Promise<DirectProcess>;
} {
  void options;
  return { launch: () => Promise.reject(unimplemented("not landed yet")) };
}
