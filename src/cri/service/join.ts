/** Operations under way by what they are about: a retry waits for the first one's result instead of starting another. */
export class Joins {
  readonly #running = new Map<
    string,
    { result: Promise<unknown>; waiting: number; abort: AbortController }
  >();

  /**
   * Runs `work`, or joins the one that runs under `key`. Its signal aborts when all who wait for it are gone; most
   * operations ignore that and finish, so that the retry finds them done.
   */
  async run<T>(key: string, signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    let entry = this.#running.get(key);
    if (!entry) {
      const abort = new AbortController();
      const result = work(abort.signal);
      entry = { result, waiting: 0, abort };
      this.#running.set(key, entry);
      const done = () => {
        if (this.#running.get(key) === entry) this.#running.delete(key);
      };
      result.then(done, done);
    }
    const joined = entry;
    joined.waiting++;
    const leave = () => {
      if (--joined.waiting === 0) joined.abort.abort();
    };
    if (signal.aborted) leave();
    else signal.addEventListener("abort", leave, { once: true });
    try {
      return (await joined.result) as T;
    } finally {
      signal.removeEventListener("abort", leave);
    }
  }
}
