/** A connection after its upgrade: a socket's, or a tunnel's through WebSocket messages. */
export interface Wire {
  /** The peer's next bytes; undefined once it has sent its last. */
  read(): Promise<Uint8Array | undefined>;
  /** Waits while the peer is slower than we are; false when it is gone. */
  write(bytes: Uint8Array): Promise<boolean>;
  /** Sends what is written and ends. */
  end(): void;
  destroy(): void;
  /** Aborts when the connection is gone. */
  readonly signal: AbortSignal;
}

/** Bytes of a wire in the portions a protocol asks for. */
export class WireReader {
  readonly #read: () => Promise<Uint8Array | undefined>;
  #chunk: Uint8Array = new Uint8Array(0);

  constructor(read: () => Promise<Uint8Array | undefined>) {
    this.#read = read;
  }

  /** Exactly `count` bytes; undefined when the peer ends before them. */
  async exact(count: number): Promise<Uint8Array | undefined> {
    if (this.#chunk.length >= count) return this.#take(count);
    const whole = new Uint8Array(count);
    let filled = 0;
    while (filled < count) {
      const piece = await this.some(count - filled);
      if (!piece) return undefined;
      whole.set(piece, filled);
      filled += piece.length;
    }
    return whole;
  }

  /** What there is, at most `limit` bytes; undefined at the end. */
  async some(limit: number): Promise<Uint8Array | undefined> {
    while (this.#chunk.length === 0) {
      const chunk = await this.#read();
      if (!chunk) return undefined;
      this.#chunk = chunk;
    }
    return this.#take(Math.min(limit, this.#chunk.length));
  }

  #take(count: number): Uint8Array {
    const taken = this.#chunk.subarray(0, count);
    this.#chunk = this.#chunk.subarray(count);
    return taken;
  }
}

/** Fires once nothing has touched it for the time given. A touch costs no timer. */
export class IdleTimer {
  #last = Date.now();
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #limit: number;
  readonly #fire: () => void;

  constructor(milliseconds: number, fire: () => void) {
    this.#limit = milliseconds;
    this.#fire = fire;
    if (milliseconds > 0) this.#arm(milliseconds);
  }

  touch(): void {
    this.#last = Date.now();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #arm(delay: number): void {
    // A longer delay than a timer can hold would fire at once.
    this.#timer = setTimeout(() => this.#check(), Math.min(delay, 0x7fffffff));
    this.#timer.unref();
  }

  #check(): void {
    const left = this.#last + this.#limit - Date.now();
    if (left <= 0) this.#fire();
    else this.#arm(left);
  }
}

/** The same wire; whatever passes through it touches `timer`. */
export function touching(wire: Wire, timer: IdleTimer): Wire {
  return {
    read: async () => {
      const bytes = await wire.read();
      timer.touch();
      return bytes;
    },
    write: async (bytes) => {
      const alive = await wire.write(bytes);
      timer.touch();
      return alive;
    },
    end: () => wire.end(),
    destroy: () => wire.destroy(),
    signal: wire.signal,
  };
}
