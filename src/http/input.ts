import type { Connection } from "./connection.ts";

/** Above this many unread bytes the socket is paused, so that a fast sender cannot fill our memory. */
const highWater = 256 * 1024;

/**
 * The bytes a socket brings, for pulling: a head up to a delimiter, an exact number, or whatever is there.
 * `ended` is the peer's FIN; `closed` is the end of the whole connection.
 */
export class SocketInput {
  readonly #socket: Connection;
  #chunks: Uint8Array[] = [];
  #size = 0;
  /** Whoever waits; after the end of a hijacked connection that is also the one who throws the rest away. */
  #waiting: Array<() => void> = [];
  ended = false;
  closed = false;
  /** Called once when the peer sends FIN or the connection breaks. */
  onGone: (() => void) | undefined;

  constructor(socket: Connection) {
    this.#socket = socket;
    socket.on("data", (chunk: Uint8Array) => {
      this.#chunks.push(chunk);
      this.#size += chunk.length;
      if (this.#size > highWater) socket.pause();
      this.#notify();
    });
    const end = () => {
      if (!this.ended) {
        this.ended = true;
        this.onGone?.();
      }
      this.#notify();
    };
    socket.on("end", end);
    socket.on("close", () => {
      this.closed = true;
      end();
    });
    socket.on("error", () => socket.destroy());
  }

  #notify(): void {
    if (this.#waiting.length > 0) for (const wake of this.#waiting.splice(0)) wake();
  }

  #more(): Promise<void> {
    if (this.#socket.isPaused()) this.#socket.resume();
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }

  /** No more is taken: what waits for bytes sees an end. */
  cut(): void {
    this.ended = true;
    this.#notify();
  }

  #take(count: number): Uint8Array {
    const first = this.#chunks[0]!;
    if (first.length === count) {
      this.#chunks.shift();
      this.#size -= count;
      return first;
    }
    if (first.length > count) {
      this.#chunks[0] = first.subarray(count);
      this.#size -= count;
      return first.subarray(0, count);
    }
    const out = new Uint8Array(count);
    let filled = 0;
    while (filled < count) {
      const chunk = this.#chunks[0]!;
      const part = Math.min(chunk.length, count - filled);
      out.set(chunk.subarray(0, part), filled);
      filled += part;
      if (part === chunk.length) this.#chunks.shift();
      else this.#chunks[0] = chunk.subarray(part);
    }
    this.#size -= count;
    return out;
  }

  /** True when `needle` is in what has come. */
  holds(needle: Uint8Array): boolean {
    if (this.#chunks.length > 1) this.#chunks = [Buffer.concat(this.#chunks)];
    const chunk = this.#chunks[0];
    return (
      chunk !== undefined &&
      Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength).indexOf(needle) >= 0
    );
  }

  /** Reads up to and with `needle`, at most `limit` bytes; undefined at a clean end, throws when cut short or too long. */
  async until(needle: Uint8Array, limit: number): Promise<Uint8Array | undefined> {
    let from = 0;
    for (;;) {
      if (this.#chunks.length > 1) this.#chunks = [Buffer.concat(this.#chunks)];
      const chunk = this.#chunks[0];
      if (chunk) {
        const view = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
        const at = view.indexOf(needle, from);
        if (at >= 0 && at + needle.length <= limit) return this.#take(at + needle.length);
        if (at >= 0 || chunk.length > limit) throw new RangeError("too long");
        from = Math.max(0, chunk.length - needle.length + 1);
      }
      if (this.ended) {
        if (this.#size === 0) return undefined;
        throw new RangeError("cut short");
      }
      await this.#more();
    }
  }

  /** The next bytes, at most `limit` of them; undefined at the end. */
  async some(limit = Number.MAX_SAFE_INTEGER): Promise<Uint8Array | undefined> {
    while (this.#size === 0) {
      if (this.ended) return undefined;
      await this.#more();
    }
    const taken = this.#take(Math.min(this.#chunks[0]!.length, limit));
    if (this.#size <= highWater && this.#socket.isPaused()) this.#socket.resume();
    return taken;
  }

  /** Waits for a byte of the next request, or the end. */
  async ready(): Promise<void> {
    while (this.#size === 0 && !this.ended) await this.#more();
  }
}
