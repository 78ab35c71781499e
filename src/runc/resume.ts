import { conflict } from "../base/errors.ts";
import { span } from "../base/trace.ts";
import { thaw } from "../sys/cgroup/index.ts";
import { readState, statusOf } from "./state-store.ts";

/** Lets the processes of a paused container go on. */
export function resume(root: string, id: string): Promise<void> {
  return span("runc", "resume", async () => {
    const state = readState(root, id);
    if (statusOf(root, state) !== "paused") throw conflict("container not paused");
    thaw(state.cgroupPaths);
  });
}
