import type { Cache } from "../cache/index.ts";
import type { BuildServices } from "../types.ts";
import { BuildJob } from "./job.ts";
import { Slots } from "./slots.ts";
import type { Evaluated, Executors, Job, JobOptions, Shared } from "./types.ts";
import { Work } from "./work.ts";

/** Evaluates the graphs of all builds of a daemon: equal steps that run at the same time run once. */
export class Solver {
  readonly #shared: Shared;

  constructor(services: BuildServices, cache: Cache, executors: Executors) {
    const running = new Map<string, Work<Evaluated>>();
    this.#shared = {
      services,
      cache,
      executors,
      slots: new Slots(services.parallelism ?? Math.max(2, navigator.hardwareConcurrency)),
      work: (key, vertex, run) => {
        const known = running.get(key);
        if (known) return { work: known, begun: false };
        const work: Work<Evaluated> = new Work(vertex, run, () => forget());
        // Nobody joins what is being aborted.
        const forget = () => {
          if (running.get(key) === work) running.delete(key);
        };
        running.set(key, work);
        void work.settled.then(forget);
        return { work, begun: true };
      },
    };
  }

  /** Begins a build; what it evaluates is remembered in it until it is closed. */
  job(options: JobOptions): Job {
    return new BuildJob(this.#shared, options);
  }
}
