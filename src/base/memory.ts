/** The one file that asks the engine for its memory back. */

/** How long nothing may have ended before garbage goes: the collection stops everything for some ten milliseconds. */
const quiet = 1000;
/** How long until the compiled code goes as well: the next request compiles what it needs anew, some 20 ms for a start. */
const asleep = 60_000;
/** After so many pieces of work it goes at once: there is much of it then. */
const burst = 100;

/**
 * Gives memory back to the system when a burst of work is over: first garbage, and the pages of the program itself
 * (which come back in 2 ms), later compiled code.
 */
export class MemoryKeeper {
  #timer: ReturnType<typeof setTimeout> | undefined;
  #later: ReturnType<typeof setTimeout> | undefined;
  #pieces = 0;
  readonly #forgetCode: () => void;

  constructor(forgetCode: () => void = () => {}) {
    this.#forgetCode = forgetCode;
  }

  /** A piece of work has ended. */
  worked(): void {
    this.#pieces++;
    clearTimeout(this.#later);
    this.#later = undefined;
    if (this.#timer) {
      this.#timer.refresh();
      return;
    }
    this.#timer = setTimeout(() => this.#rest(), quiet);
    this.#timer.unref();
  }

  #rest(): void {
    this.#timer = undefined;
    const { Bun: engine } = globalThis as { Bun?: { gc(force: boolean): void; shrink?(): void } };
    const sleep = () => {
      engine?.shrink?.();
      this.#forgetCode();
    };
    engine?.gc(true);
    if (this.#pieces > burst) sleep();
    else {
      this.#forgetCode();
      this.#later = setTimeout(sleep, asleep);
      this.#later.unref();
    }
    this.#pieces = 0;
  }
}
