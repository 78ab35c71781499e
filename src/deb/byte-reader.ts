import { CortenError } from "../base/errors.ts";

/** Reads a stream of chunks by counts of bytes. */
export class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #held: Uint8Array = new Uint8Array(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  async #fill(): Promise<boolean> {
    while (this.#held.length === 0) {
      const next = await this.#source.next();
      if (next.done) return false;
      this.#held = next.value;
    }
    return true;
  }

  /** Exactly `count` bytes; undefined at the end of the stream; an error inside of them. */
  async read(count: number): Promise<Buffer | undefined> {
    if (this.#held.length >= count) return this.#take(count);
    const parts: Uint8Array[] = [];
    let missing = count;
    while (missing > 0) {
      if (!(await this.#fill())) {
        if (missing === count) return undefined;
        throw new CortenError("data_loss", "the archive is cut off");
      }
      const part = this.#take(Math.min(missing, this.#held.length));
      parts.push(part);
      missing -= part.length;
    }
    return Buffer.concat(parts);
  }

  #take(count: number): Buffer {
    const part = this.#held.subarray(0, count);
    this.#held = this.#held.subarray(count);
    return Buffer.from(part.buffer, part.byteOffset, part.length);
  }

  /** The next `count` bytes as a stream, which has to be read to its end (or `skip` what is left). */
  async *stream(count: number): AsyncGenerator<Uint8Array> {
    let left = count;
    while (left > 0) {
      if (!(await this.#fill())) throw new CortenError("data_loss", "the archive is cut off");
      const part = this.#take(Math.min(left, this.#held.length));
      left -= part.length;
      yield part;
    }
  }

  async skip(count: number): Promise<void> {
    for await (const _ of this.stream(count)) {
      // Read only to get past it.
    }
  }

  /** Reads on to the end, so that the source's own checks of its end are made. */
  async drain(): Promise<void> {
    do this.#held = new Uint8Array(0);
    while (await this.#fill());
  }

  /** Lets go of the source. */
  async close(): Promise<void> {
    await this.#source.return?.();
  }
}
