import { CortenError } from "../../base/errors.ts";

/** The reader of a connection waits when one stream holds this much unread … */
const streamLimit = 1 << 20;
/** … or all of them together this much. */
const connectionLimit = 4 << 20;
/** While it waits it cannot see the peer go; it asks this often (milliseconds). */
const probeInterval = 15_000;

/**
 * What the streams of one connection hold unread. Neither SPDY as Kubernetes' clients speak it nor WebSocket
 * has a window for a stream: the one way to slow a peer is not to read the connection.
 */
export class InboundBudget {
  #used = 0;
  #wake: (() => void) | undefined;
  readonly #probe: () => void;

  /** `probe` sends something small: a write to a peer that is gone fails, a pause in reading does not. */
  constructor(probe: () => void) {
    this.#probe = probe;
  }

  get used(): number {
    return this.#used;
  }

  add(bytes: number): void {
    this.#used += bytes;
  }

  release(bytes: number): void {
    this.#used -= bytes;
    this.#wake?.();
  }

  /** Resolves when `inbound` and the connection may take more. Called by the connection's one reader. */
  async room(inbound: Inbound): Promise<void> {
    if (!this.#full(inbound)) return;
    const timer = setInterval(this.#probe, probeInterval);
    timer.unref();
    try {
      while (this.#full(inbound))
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    } finally {
      clearInterval(timer);
      this.#wake = undefined;
    }
  }

  #full(inbound: Inbound): boolean {
    return !inbound.over && (inbound.size > streamLimit || this.#used > connectionLimit);
  }
}

/**
 * One stream's bytes from the peer, for one reader. A loop over it ends at the peer's half-close and when the peer
 * is gone, of which a signal tells; one that leaves early has the rest discarded.
 */
export class Inbound implements AsyncIterable<Uint8Array> {
  readonly #budget: InboundBudget;
  readonly #taken: ((bytes: number) => void) | undefined;
  #chunks: Uint8Array[] = [];
  #ended = false;
  #discarding = false;
  #error: Error | undefined;
  #wake: (() => void) | undefined;
  size = 0;

  /** `taken` hears of what the reader consumed, for protocols that give the peer credit for it. */
  constructor(budget: InboundBudget, taken?: (bytes: number) => void) {
    this.#budget = budget;
    this.#taken = taken;
  }

  /** Nothing more is kept. */
  get over(): boolean {
    return this.#ended || this.#discarding || this.#error !== undefined;
  }

  /** Gives what the peer sent; the connection's reader awaits `budget.room` after it. */
  push(bytes: Uint8Array): void {
    if (this.over) {
      this.#taken?.(bytes.length);
      return;
    }
    if (bytes.length === 0) return;
    this.#chunks.push(bytes);
    this.size += bytes.length;
    this.#budget.add(bytes.length);
    this.#wake?.();
  }

  /** The peer's half-close. */
  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  /** The stream broke: `next` gives `reason` after what is there. No effect after the end. */
  fail(reason: Error): void {
    if (this.#ended) return;
    this.#error ??= reason;
    this.#wake?.();
    this.#budget.release(0);
  }

  discard(): void {
    this.#discarding = true;
    const dropped = this.size;
    this.#chunks = [];
    this.size = 0;
    this.#budget.release(dropped);
    if (dropped > 0) this.#taken?.(dropped);
    this.#wake?.();
  }

  /** The next bytes; undefined at the end. */
  async next(): Promise<Uint8Array | undefined> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk) {
        this.size -= chunk.length;
        this.#budget.release(chunk.length);
        this.#taken?.(chunk.length);
        return chunk;
      }
      if (this.#error) throw this.#error;
      if (this.#ended || this.#discarding) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    try {
      const next = () => this.next().catch(() => undefined);
      for (let chunk = await next(); chunk; chunk = await next()) yield chunk;
    } finally {
      this.discard();
    }
  }
}

export const clientGone = () => new CortenError("canceled", "the client is gone");
