import { existsSync } from "node:fs";
import { sleep } from "../base/async.ts";
import { CortenError, conflict, isCode, messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { span } from "../base/trace.ts";
import { thaw } from "../sys/cgroup/index.ts";
import { containerProcesses, removeCgroups } from "./cgroup/manager.ts";
import { runHooks } from "./hooks.ts";
import { signalAll, signalProcess } from "./kill.ts";
import { hookStateOf } from "./state.ts";
import {
  containerDirectory,
  isAlive,
  isPaused,
  notedCgroups,
  readState,
  removeState,
  statusOf,
} from "./state-store.ts";
import type { State, Warn } from "./types.ts";

export interface DeleteOptions {
  /** Ends what runs, and is content when there is nothing. */
  force?: boolean;
  warn?: Warn;
  /** How the state's directory is taken away, when not in place. */
  discard?: (path: string) => void;
}

/** Removes a stopped container, or any with `force` (runtime-spec: Operations, Delete). */
export function remove(root: string, id: string, options: DeleteOptions = {}): Promise<void> {
  return span("runc", "delete", async () => {
    let state: State;
    try {
      state = readState(root, id);
    } catch (error) {
      if (!isCode(error, "not_found")) throw error;
      // A create that was killed half-way leaves a directory without a state.
      const directory = containerDirectory(root, id);
      if (existsSync(directory)) {
        await removeCgroups(notedCgroups(root, id)).catch((problem) =>
          log.debug("cgroups of a half-made container stay", { id, error: messageOf(problem) }),
        );
        removeState(root, id, options.discard);
      }
      if (options.force) return;
      throw error;
    }
    const status = statusOf(root, state);
    if (status === "running" || status === "paused") {
      if (!options.force) throw conflict(`cannot delete container ${id} that is not stopped: ${status}`);
    }
    if (status !== "stopped") await end(state);
    await destroy(root, state, options.warn ?? (() => {}), options.discard);
  });
}

async function end(state: State): Promise<void> {
  try {
    signalProcess(state, 9);
  } catch (error) {
    if (!(error instanceof CortenError && error.code === "failed_precondition")) throw error;
  }
  if (isPaused(state)) thaw(state.cgroupPaths);
  for (let attempt = 0; isAlive(state); attempt++) {
    if (attempt > 1000) throw conflict("container init still running");
    await sleep(attempt < 20 ? 1 : 10);
  }
}

/** Gives back all that a container holds; what its processes left behind ends first. */
export async function destroy(
  root: string,
  state: State,
  warn: Warn,
  discard?: (path: string) => void,
): Promise<void> {
  if (containerProcesses(state.cgroupPaths).length > 0) {
    if (isPaused(state)) thaw(state.cgroupPaths);
    signalAll(state, 9);
  }
  if (state.systemdCgroup) {
    const { stopUnit } = await import("./cgroup/systemd/container.ts");
    // systemd drops a unit without processes by itself: one that cannot be told now leaves nothing behind.
    await stopUnit(state.spec, state.id).catch((error) => warn(`stop unit: ${messageOf(error)}`));
  }
  await removeCgroups(state.cgroupPaths);
  const stopped = { ...hookStateOf(root, state), status: "stopped" as const, pid: 0 };
  removeState(root, state.id, discard);
  await runHooks(state.spec.hooks?.poststop, "poststop", stopped, warn);
}
