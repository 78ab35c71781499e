import { sleep } from "../../base/async.ts";
import { messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import { subscribe } from "../../containerd/client/index.ts";
import type { Daemon } from "../daemon.ts";
import type { Container } from "./container.ts";
import { containerEvent } from "./events.ts";

/** How often the counters of containers with a memory limit are looked at: cgroup v1 tells changes to no file's watcher. */
const interval = 500;

/**
 * Tells of OOM kills while a container runs: a child's leaves its container running. A foreign containerd reports them;
 * with ours, whose shims know of them at the end only, the kernel's counters are asked. What the end itself shows is
 * handled with the exit.
 */
export class OomWatch {
  readonly #daemon: Daemon;
  readonly #seen = new WeakMap<Container, { pid: number; kills: number }>();
  readonly #abort = new AbortController();
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(daemon: Daemon) {
    this.#daemon = daemon;
    if (daemon.inProcess) this.wake();
    else void this.#follow();
  }

  /** A container may have begun to run. */
  wake(): void {
    if (!this.#daemon.inProcess || this.#timer || this.#abort.signal.aborted) return;
    this.#timer = setInterval(() => this.#look(), interval);
    this.#timer.unref();
  }

  close(): void {
    this.#abort.abort();
    clearInterval(this.#timer);
  }

  #look(): void {
    const limited = this.#daemon.containers
      .all()
      .filter(({ state, record }) => state.running && state.pid > 0 && record.host.Memory > 0);
    if (limited.length === 0) {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
    for (const container of limited) {
      const { pid } = container.state;
      const kills = this.#daemon.host.oomKills(pid);
      if (kills === undefined) continue;
      const before = this.#seen.get(container);
      this.#seen.set(container, { pid, kills });
      // One that an earlier daemon left has told of its kills to that one.
      const known = before?.pid === pid ? before.kills : container.state.oomKilled ? kills : 0;
      if (kills > known) noteOom(this.#daemon, container);
    }
  }

  /** Asks again while containerd is away. */
  async #follow(): Promise<void> {
    const { signal } = this.#abort;
    for (let delay = 100; !signal.aborted; delay = Math.min(delay * 2, 5000)) {
      try {
        for await (const { event } of subscribe(this.#daemon.containerd, ['topic=="/tasks/oom"'], signal)) {
          delay = 100;
          if (event?.$typeName !== "containerd.events.TaskOOM") continue;
          const container = this.#daemon.containers.byId(event.containerId);
          if (container) noteOom(this.#daemon, container);
        }
      } catch (error) {
        if (!signal.aborted) log.debug("lost containerd's events", { error: messageOf(error) });
      }
      if (!signal.aborted) await sleep(delay);
    }
  }
}

/** The kernel has killed in a container. A word that comes after its end adds to that only what the end did not know. */
export function noteOom(daemon: Daemon, container: Container): void {
  const { state } = container;
  if (!state.running && state.oomKilled) return;
  state.oomKilled = true;
  containerEvent(daemon, container, "oom");
  daemon.containers.save(container);
}
