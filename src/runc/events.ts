import { sleep } from "../base/async.ts";
import { conflict } from "../base/errors.ts";
import { readStats } from "../sys/cgroup/index.ts";
import { isAlive, readState, statusOf } from "./state-store.ts";
import { statsReport } from "./stats.ts";

export interface ContainerEvent {
  type: "stats" | "oom";
  id: string;
  data?: object;
}

/** How often the kernel's count of OOM kills is looked at. */
const oomPeriod = 100;

/** Statistics every `interval` milliseconds and each OOM kill, until the container ends. */
export async function* events(root: string, id: string, interval: number): AsyncGenerator<ContainerEvent> {
  const state = readState(root, id);
  if (statusOf(root, state) === "stopped") throw conflict(`container with id ${id} is not running`);
  let kills = readStats(state.cgroupPaths).memory.oomKills;
  let next = performance.now() + interval;
  for (;;) {
    const alive = isAlive(state);
    const now = readStats(state.cgroupPaths);
    for (; kills < now.memory.oomKills; kills++) yield { type: "oom", id };
    if (!alive) return;
    if (performance.now() >= next) {
      next += interval;
      yield { type: "stats", id, data: statsReport(now) };
    }
    await sleep(Math.min(oomPeriod, Math.max(1, next - performance.now())));
  }
}
