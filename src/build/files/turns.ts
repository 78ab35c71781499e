/** Long work gives others their turn, and ends when nobody wants it any more. */
import { CortenError } from "../../base/errors.ts";

/** Milliseconds without a pause. */
const slice = 8;

export class Turns {
  readonly signal: AbortSignal | undefined;
  #since = performance.now();

  constructor(signal?: AbortSignal) {
    this.signal = signal;
  }

  /** True when it is time to `await` a pause: so that the common case costs no promise. */
  get due(): boolean {
    return performance.now() - this.#since > slice;
  }

  async pause(): Promise<void> {
    await new Promise((done) => setImmediate(done));
    this.#since = performance.now();
    this.refuseAborted();
  }

  refuseAborted(): void {
    refuseAborted(this.signal);
  }
}

export function refuseAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new CortenError("canceled", "the build was cancelled", { cause: signal.reason });
}
