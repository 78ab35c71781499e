/** The one file that asks the engine for its memory back. */

/** How long nothing may have ended before garbage goes: the collection stops everything for some ten milliseconds. */
const quiet = 1000;
/** How long until the compiled code goes as well: the next request compiles what it needs anew, some 20 ms for a start. */
const asleep = 60_000;
/** After so many pieces of work it goes at once: there is much of it then. */
const burst = 80;
/**
 * Until so many pieces of work since the code was forgotten, the JIT waits ten times longer than it would: to compile
 * for a burst of fifty starts costs the second core 3 ms a start, and does not make them faster. After that it pays.
 */
const warm = 600;
const patient = 10;

interface Engine {
  gc(force: boolean): void;
  shrink?(): void;
  unsafe: { setJITPolicy(scale: number): void };
}
const engine = (globalThis as { Bun?: Engine }).Bun;

/**
 * Gives memory back to the system when a burst of work is over: first garbage, and the pages of the program itself
 * (which come back in 2 ms), later compiled code.
 */
export class MemoryKeeper {
  #timer: ReturnType<typeof setTimeout> | undefined;
  #later: ReturnType<typeof setTimeout> | undefined;
  #pieces = 0;
  #sinceSleep = 0;
  readonly #forgetCode: () => void;

  readonly #asleep: number;

  constructor(forgetCode: () => void = () => {}, asleepAfter = asleep) {
    this.#forgetCode = forgetCode;
    this.#asleep = asleepAfter;
    engine?.unsafe.setJITPolicy(patient);
  }

  /** A piece of work has ended. */
  worked(): void {
    this.#pieces++;
    if (++this.#sinceSleep === warm) engine?.unsafe.setJITPolicy(1);
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
    const sleep = () => {
      engine?.shrink?.();
      engine?.unsafe.setJITPolicy(patient);
      this.#sinceSleep = 0;
      this.#forgetCode();
    };
    engine?.gc(true);
    if (this.#pieces > burst) sleep();
    else {
      this.#forgetCode();
      this.#later = setTimeout(sleep, this.#asleep);
      this.#later.unref();
    }
    this.#pieces = 0;
  }
}
