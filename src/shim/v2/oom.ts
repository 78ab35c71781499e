import type { Shim } from "../shim.ts";
import { memoryCgroupOf, memoryKills } from "../stats.ts";
import type { Task } from "../task.ts";

/** How often counters are looked at: cgroup v1 tells changes to no file's watcher. */
const interval = 1000;

interface Seen {
  directory: string | undefined;
  kills: number;
}

/**
 * Tells of OOM kills while a container runs: a child's leaves its container running. Only containers with a memory limit
 * are looked at; what the end itself shows is told with the exit.
 */
export class OomWatch {
  readonly #shim: Shim;
  readonly #seen = new WeakMap<Task, Seen>();
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(shim: Shim) {
    this.#shim = shim;
  }

  /** A container has begun to run. */
  wake(): void {
    if (this.#timer) return;
    this.#timer = setInterval(() => this.#look(), interval);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #look(): void {
    let limited = 0;
    for (const task of this.#shim.all()) {
      if (!task.init.record.started || task.init.exit) continue;
      const seen = this.#seen.get(task) ?? this.#first(task);
      if (seen.directory === undefined) continue;
      limited++;
      const { kills } = memoryKills(seen.directory);
      if (kills > seen.kills) this.#shim.events.oom(task);
      seen.kills = Math.max(kills, seen.kills);
    }
    if (limited === 0) this.close();
  }

  #first(task: Task): Seen {
    const directory = memoryCgroupOf(task.init.record.pid);
    const limited = directory !== undefined && memoryKills(directory).limited;
    const seen = { directory: limited ? directory : undefined, kills: 0 };
    this.#seen.set(task, seen);
    return seen;
  }
}
