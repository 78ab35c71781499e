import { deferred } from "../../base/async.ts";

/**
 * Many may share, one may have it alone. Who wants it alone waits for those inside and keeps later
 * ones out, so that a steady stream of sharers cannot starve it.
 */
export class SharedLock {
  #inside = 0;
  #alone: Promise<void> | undefined;
  #empty: (() => void) | undefined;

  async shared<T>(work: () => Promise<T>): Promise<T> {
    while (this.#alone) await this.#alone;
    this.#inside++;
    try {
      return await work();
    } finally {
      this.#inside--;
      if (this.#inside === 0) this.#empty?.();
    }
  }

  async exclusive<T>(work: () => Promise<T>): Promise<T> {
    while (this.#alone) await this.#alone;
    const done = deferred<void>();
    this.#alone = done.promise;
    try {
      if (this.#inside > 0) {
        const empty = deferred<void>();
        this.#empty = empty.resolve;
        await empty.promise;
        this.#empty = undefined;
      }
      return await work();
    } finally {
      this.#alone = undefined;
      done.resolve();
    }
  }
}
