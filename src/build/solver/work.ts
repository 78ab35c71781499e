import { deferred } from "../../base/async.ts";
import type { Vertex } from "../graph.ts";
import type { LogProgress, Progress, StatusProgress } from "../progress.ts";
import { canceled } from "./slots.ts";

/** How much output of running work somebody gets who joins late. */
const replayLimit = 1 << 20;

/** One build that waits for a work. */
export interface Watcher<T> {
  vertex: Vertex;
  progress: Progress;
  /** The result is there; told before anything else can happen to it. */
  take(result: T): void;
  /** The work has got its slot. */
  onStarted(at: Date): void;
}

/**
 * A step that is being evaluated, for one build or for several. What it tells goes to all of them, as a part of each one's own
 * vertex. A build that gives up leaves; when the last one has left, the work is aborted.
 */
export class Work<T> {
  readonly #abort = new AbortController();
  readonly #done = deferred<T>();
  readonly #watchers = new Set<Watcher<T>>();
  readonly #vertex: Vertex;
  #result: { result: T } | undefined;
  #startedAt: Date | undefined;
  #log: LogProgress[] = [];
  #logSize = 0;
  readonly #statuses = new Map<string, StatusProgress>();
  /** Resolves when the work has ended, however. */
  readonly settled: Promise<void>;

  /** `run` begins at once; `onAborted` is told when nobody waits any more. */
  constructor(vertex: Vertex, run: (work: Work<T>) => Promise<T>, onAborted: () => void) {
    this.#vertex = vertex;
    this.#abort.signal.addEventListener("abort", onAborted, { once: true });
    this.#done.promise.catch(() => {});
    // The first build has joined before anything happens.
    this.settled = Promise.resolve()
      .then(() => run(this))
      .then((result) => {
        this.#result = { result };
        this.#tell((watcher) => watcher.take(result));
        this.#done.resolve(result);
      })
      .catch(this.#done.reject);
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** Waits for the end, until `signal` says otherwise. */
  join(watcher: Watcher<T>, signal: AbortSignal): Promise<T> {
    if (signal.aborted) {
      this.#leaveIfEmpty();
      return Promise.reject(canceled());
    }
    this.#watchers.add(watcher);
    this.#replay(watcher);
    if (this.#result) watcher.take(this.#result.result);
    return new Promise<T>((resolve, reject) => {
      const leave = () => {
        this.#watchers.delete(watcher);
        this.#leaveIfEmpty();
        reject(canceled());
      };
      signal.addEventListener("abort", leave, { once: true });
      this.#done.promise.then(resolve, reject).finally(() => {
        this.#watchers.delete(watcher);
        signal.removeEventListener("abort", leave);
      });
    });
  }

  #leaveIfEmpty(): void {
    if (this.#watchers.size === 0) this.#abort.abort(canceled());
  }

  #replay(watcher: Watcher<T>): void {
    if (this.#startedAt) watcher.onStarted(this.#startedAt);
    for (const status of this.#statuses.values()) watcher.progress.status(this.#as(watcher, status));
    for (const log of this.#log) watcher.progress.log(this.#as(watcher, log));
  }

  start(): void {
    this.#startedAt = new Date();
    for (const watcher of this.#watchers) watcher.onStarted(this.#startedAt);
  }

  /** What the executor tells its progress to. */
  readonly progress: Progress = {
    vertex: (vertex) => this.#tell((watcher) => watcher.progress.vertex(vertex)),
    warning: (warning) => this.#tell((watcher) => watcher.progress.warning(this.#as(watcher, warning))),
    status: (status) => {
      this.#statuses.set(status.id, status);
      this.#tell((watcher) => watcher.progress.status(this.#as(watcher, status)));
    },
    log: (log) => {
      this.#keep(log);
      this.#tell((watcher) => watcher.progress.log(this.#as(watcher, log)));
    },
  };

  #tell(tell: (watcher: Watcher<T>) => void): void {
    for (const watcher of this.#watchers) tell(watcher);
  }

  /** The end of the output counts most. */
  #keep(log: LogProgress): void {
    this.#log.push(log);
    this.#logSize += log.data.byteLength;
    if (this.#logSize <= replayLimit) return;
    let drop = 0;
    while (this.#logSize > replayLimit / 2 && drop < this.#log.length)
      this.#logSize -= this.#log[drop++]!.data.byteLength;
    this.#log = this.#log.slice(drop);
  }

  /** The same step may bear another digest in another build. */
  #as<E extends { vertex: string }>(watcher: Watcher<T>, event: E): E {
    if (event.vertex !== this.#vertex.digest || watcher.vertex.digest === event.vertex) return event;
    return { ...event, vertex: watcher.vertex.digest };
  }
}
