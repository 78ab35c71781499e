import type { BytesMessage } from "../../../../proto/gen/moby/buildkit/control_pb.ts";
import type { ByteConnection } from "../http2/connection.ts";

/** The bytes of a call in both directions, as a connection. */
export class SessionBytes implements ByteConnection {
  readonly #input: AsyncIterator<BytesMessage>;
  readonly #queue: { data: Uint8Array; sent: (alive: boolean) => void }[] = [];
  #wake = () => {};
  #over = false;

  constructor(input: AsyncIterable<BytesMessage>, signal: AbortSignal) {
    this.#input = input[Symbol.asyncIterator]();
    if (signal.aborted) this.destroy();
    else signal.addEventListener("abort", () => this.destroy(), { once: true });
  }

  async read(): Promise<Uint8Array | undefined> {
    for (;;) {
      if (this.#over) return undefined;
      const next = await this.#input.next().catch(() => undefined);
      if (!next || next.done) return undefined;
      if (next.value.data.length > 0) return next.value.data;
    }
  }

  write(data: Uint8Array): Promise<boolean> {
    if (this.#over) return Promise.resolve(false);
    return new Promise((sent) => {
      this.#queue.push({ data, sent });
      this.#wake();
    });
  }

  destroy(): void {
    this.#over = true;
    for (const { sent } of this.#queue.splice(0)) sent(false);
    this.#wake();
  }

  /** What is written, as messages: Go's clients take 16 MiB, and these are far smaller. */
  async *outgoing(): AsyncGenerator<{ data: Uint8Array }> {
    for (;;) {
      for (let one = this.#queue.shift(); one; one = this.#queue.shift()) {
        yield { data: one.data };
        one.sent(true);
      }
      if (this.#over) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
