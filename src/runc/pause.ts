import { conflict } from "../base/errors.ts";
import { span } from "../base/trace.ts";
import { freeze } from "../sys/cgroup/index.ts";
import { readState, statusOf } from "./state-store.ts";

/** Freezes every process of a running container. */
export function pause(root: string, id: string): Promise<void> {
  return span("runc", "pause", async () => {
    const state = readState(root, id);
    const status = statusOf(root, state);
    if (status !== "running" && status !== "created")
      throw conflict(`container not running or created: ${status}`);
    await freeze(state.cgroupPaths);
  });
}
