/** Builds that run or have run: their progress for those who watch, and a short history. */
import type { StatusInit } from "./progress.ts";

/** Output that is kept for a watcher who has not come yet. */
const backlogLimit = 8 << 20;
/** How long a build that has ended waits for its watcher, and a watcher for the build. */
const linger = 10_000;
const historyLimit = 50;

export interface HistoryRecord {
  ref: string;
  frontend: string;
  attributes: Readonly<Record<string, string>>;
  exporters: readonly { Type: string; Attrs: Readonly<Record<string, string>> }[];
  createdAt: Date;
  completedAt?: Date;
  error?: { code: number; message: string };
  response: Readonly<Record<string, string>>;
  steps: { total: number; completed: number; cached: number; warnings: number };
  pinned: boolean;
}

/** The progress of one build, told to whoever watches. */
class StatusFeed {
  #backlog: StatusInit[] = [];
  #size = 0;
  readonly #watchers = new Set<{ queue: StatusInit[]; wake: () => void }>();
  #ended = false;
  begun = false;
  timer: ReturnType<typeof setTimeout> | undefined;

  get watched(): boolean {
    return this.#watchers.size > 0;
  }

  get ended(): boolean {
    return this.#ended;
  }

  push(message: StatusInit): void {
    for (const { queue, wake } of this.#watchers) {
      queue.push(message);
      wake();
    }
    if (this.watched) return;
    const logged = (message.logs ?? []).reduce((sum, { msg }) => sum + (msg?.length ?? 0), 0);
    this.#size += logged;
    this.#backlog.push(this.#size > backlogLimit ? { ...message, logs: [] } : message);
  }

  end(): void {
    this.#ended = true;
    for (const { wake } of this.#watchers) wake();
  }

  /** The first who comes gets what there was before. */
  async *watch(signal: AbortSignal): AsyncGenerator<StatusInit> {
    const queue = this.#backlog;
    this.#backlog = [];
    let wake = () => {};
    const watcher = { queue, wake: () => wake() };
    const gone = () => wake();
    this.#watchers.add(watcher);
    signal.addEventListener("abort", gone, { once: true });
    try {
      for (;;) {
        for (let message = queue.shift(); message; message = queue.shift()) yield message;
        if (this.#ended || signal.aborted) return;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    } finally {
      signal.removeEventListener("abort", gone);
      this.#watchers.delete(watcher);
    }
  }
}

export class BuildRecords {
  readonly #feeds = new Map<string, StatusFeed>();
  readonly #history = new Map<string, HistoryRecord>();
  readonly #listeners = new Set<(record: HistoryRecord, kind: "started" | "complete" | "deleted") => void>();

  #feed(ref: string): StatusFeed {
    let feed = this.#feeds.get(ref);
    if (!feed) {
      feed = new StatusFeed();
      this.#feeds.set(ref, feed);
    }
    return feed;
  }

  /** A build begins; what it tells goes to whoever watches, now or soon. */
  begin(ref: string): { send: (message: StatusInit) => void; end: () => void } {
    const feed = this.#feed(ref);
    feed.begun = true;
    clearTimeout(feed.timer);
    return {
      send: (message) => feed.push(message),
      end: () => {
        feed.end();
        this.#forgetLater(ref, feed);
      },
    };
  }

  #forgetLater(ref: string, feed: StatusFeed): void {
    clearTimeout(feed.timer);
    feed.timer = setTimeout(() => {
      if (this.#feeds.get(ref) === feed) this.#feeds.delete(ref);
      if (!feed.begun) feed.end();
    }, linger);
    feed.timer.unref();
  }

  /** Until the build ends; also of one that is only about to begin. */
  watch(ref: string, signal: AbortSignal): AsyncGenerator<StatusInit> {
    const feed = this.#feed(ref);
    if (!feed.begun) this.#forgetLater(ref, feed);
    return feed.watch(signal);
  }

  started(record: HistoryRecord): void {
    this.#history.delete(record.ref);
    this.#history.set(record.ref, record);
    for (const [ref, { pinned, completedAt }] of this.#history) {
      if (this.#history.size <= historyLimit) break;
      if (!pinned && completedAt) this.#history.delete(ref);
    }
    for (const tell of this.#listeners) tell(record, "started");
  }

  completed(record: HistoryRecord): void {
    for (const tell of this.#listeners) tell(record, "complete");
  }

  get history(): readonly HistoryRecord[] {
    return [...this.#history.values()];
  }

  find(ref: string): HistoryRecord | undefined {
    return this.#history.get(ref);
  }

  delete(ref: string): boolean {
    const record = this.#history.get(ref);
    if (!record) return false;
    this.#history.delete(ref);
    for (const tell of this.#listeners) tell(record, "deleted");
    return true;
  }

  listen(tell: (record: HistoryRecord, kind: "started" | "complete" | "deleted") => void): () => void {
    this.#listeners.add(tell);
    return () => this.#listeners.delete(tell);
  }
}
