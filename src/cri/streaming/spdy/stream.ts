import { clientGone, Inbound, type InboundBudget } from "../inbound.ts";
import { dataFrame, fin, rstStatus } from "./frames.ts";
import type { SpdyHeaders } from "./headers.ts";
import { SendWindow } from "./window.ts";

/** A frame of more would hold the connection too long for others. */
const largestData = 64 * 1024;

/** What a stream needs of its connection. */
export interface StreamHost {
  readonly budget: InboundBudget;
  readonly window: SendWindow;
  readonly initialWindow: number;
  sendData(frame: Uint8Array): Promise<boolean>;
  sendReset(stream: number, status: number): void;
  /** The reader of a stream has consumed so much. */
  consumed(stream: SpdyStream, bytes: number): void;
  /** Nothing goes or comes on the stream any more. */
  forget(stream: SpdyStream): void;
}

/** One stream of a SPDY connection: two directions that end by themselves. */
export class SpdyStream {
  readonly id: number;
  readonly headers: SpdyHeaders;
  readonly inbound: Inbound;
  readonly window: SendWindow;
  /** Bytes consumed and not yet credited to the peer. */
  readonly owed = { bytes: 0 };
  readonly #host: StreamHost;
  readonly #gone = new AbortController();
  #localEnd = false;
  #remoteEnd = false;

  constructor(host: StreamHost, id: number, headers: SpdyHeaders) {
    this.#host = host;
    this.id = id;
    this.headers = headers;
    this.window = new SendWindow(host.initialWindow);
    this.inbound = new Inbound(host.budget, (bytes) => host.consumed(this, bytes));
  }

  /** Aborts when the peer resets the stream or is gone. */
  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  get remoteEnd(): boolean {
    return this.#remoteEnd;
  }

  /** Resolves when the peer takes more; rejects when it does not want any. */
  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      const size = await this.#allowed(Math.min(bytes.length - at, largestData));
      if (!(await this.#host.sendData(dataFrame(this.id, 0, bytes.subarray(at, at + size)))))
        throw clientGone();
      at += size;
    }
  }

  async #allowed(wanted: number): Promise<number> {
    for (;;) {
      if (this.#localEnd || this.signal.aborted) throw clientGone();
      const size = Math.min(wanted, this.window.left, this.#host.window.left);
      if (size > 0) {
        this.window.take(size);
        this.#host.window.take(size);
        return size;
      }
      await (this.window.left === 0 ? this.window : this.#host.window).changed();
    }
  }

  /** Half-close: nothing more is sent. */
  async end(): Promise<void> {
    if (this.#localEnd) return;
    this.#localEnd = true;
    const sent = this.#host.sendData(dataFrame(this.id, fin, new Uint8Array(0)));
    if (this.#remoteEnd) this.#host.forget(this);
    await sent;
  }

  /** Ends both directions at once. */
  reset(status: number = rstStatus.cancel): void {
    if (this.#localEnd && this.#remoteEnd) return;
    this.#host.sendReset(this.id, status);
    this.broken(clientGone());
    this.inbound.discard();
  }

  /** The peer's FIN. */
  finished(): void {
    this.#remoteEnd = true;
    this.inbound.end();
    if (this.#localEnd) this.#host.forget(this);
  }

  /** The peer's reset, or the end of the connection. */
  broken(reason: Error): void {
    this.#localEnd = true;
    this.#remoteEnd = true;
    this.inbound.fail(reason);
    this.#host.forget(this);
    this.#gone.abort(reason);
    this.window.wake();
  }
}
