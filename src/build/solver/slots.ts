import { CortenError } from "../../base/errors.ts";

export const canceled = () => new CortenError("canceled", "context canceled");

/** At most `limit` pieces of work at once, in the order asked; who gives up waiting leaves the queue. */
export class Slots {
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(limit: number) {
    this.#free = limit;
  }

  async run<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    await this.#take(signal);
    try {
      return await work();
    } finally {
      const [next] = this.#waiting;
      if (next) next();
      else this.#free++;
    }
  }

  async #take(signal: AbortSignal): Promise<void> {
    if (signal.aborted) throw canceled();
    if (this.#free > 0) {
      this.#free--;
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const go = () => {
        this.#waiting.delete(go);
        signal.removeEventListener("abort", stop);
        resolve();
      };
      const stop = () => {
        this.#waiting.delete(go);
        reject(canceled());
      };
      this.#waiting.add(go);
      signal.addEventListener("abort", stop, { once: true });
    });
  }
}
