import { deferred } from "../../../base/async.ts";
import { CortenError } from "../../../base/errors.ts";
import { errorCode } from "./frames.ts";
import type { Field } from "./hpack.ts";

/** What a stream asks of its connection. */
interface Below {
  headers(headers: readonly Field[], end: boolean): void;
  data(data: Uint8Array, end: boolean): Promise<void>;
  reset(code: number): void;
  taken(bytes: number): void;
  closed(): void;
}

/** One request and its answer. */
export class Http2Stream {
  readonly id: number;
  readonly #below: Below;
  readonly #headers = deferred<Field[]>();
  #gotHeaders = false;
  /** What came after the body. */
  trailers: Field[] = [];
  sendWindow: number;
  readonly #chunks: Uint8Array[] = [];
  /** Bytes that wait to be read, and those that were read and not told to the peer. */
  #waiting = 0;
  untold = 0;
  #wakeReader: (() => void) | undefined;
  #ended = false;
  #sentEnd = false;
  failed: CortenError | undefined;
  readonly #gone = new AbortController();

  constructor(id: number, sendWindow: number, below: Below) {
    this.id = id;
    this.sendWindow = sendWindow;
    this.#below = below;
    this.#headers.promise.catch(() => {});
  }

  /** The answer's headers. */
  get headers(): Promise<Field[]> {
    return this.#headers.promise;
  }

  /** Aborts when the other side gives up, or the connection ends. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  get receiving(): boolean {
    return !this.#ended && !this.failed;
  }

  sendHeaders(headers: readonly Field[], end: boolean): void {
    if (this.failed || this.#sentEnd) return;
    this.#below.headers(headers, end);
    if (end) this.#sendingEnded();
  }

  /** Waits while the other side has no room. */
  async write(data: Uint8Array): Promise<void> {
    if (this.failed) throw this.failed;
    if (this.#sentEnd) throw new CortenError("internal", "a stream was written to after its end");
    if (data.length > 0) await this.#below.data(data, false);
  }

  async end(): Promise<void> {
    if (this.failed || this.#sentEnd) return;
    this.#sentEnd = true;
    await this.#below.data(new Uint8Array(0), true);
    this.#settle();
  }

  /** The next bytes; undefined at the end. */
  async read(): Promise<Uint8Array | undefined> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk) {
        this.#waiting -= chunk.length;
        this.untold += chunk.length;
        this.#below.taken(chunk.length);
        return chunk;
      }
      if (this.failed) throw this.failed;
      if (this.#ended) return undefined;
      await new Promise<void>((resolve) => {
        this.#wakeReader = resolve;
      });
    }
  }

  /** What was read and not told; it will be told now. */
  tell(): number {
    const bytes = this.untold;
    this.untold = 0;
    return bytes;
  }

  /** Gives the stream up. */
  reset(code: number = errorCode.cancel): void {
    if (this.failed || (this.#ended && this.#sentEnd)) return;
    this.#below.reset(code);
    this.fail(new CortenError("canceled", "the call was canceled"));
  }

  // From the connection.

  receiveHeaders(fields: Field[], end: boolean): void {
    if (this.#gotHeaders) this.trailers = fields;
    else {
      this.#gotHeaders = true;
      if (end) this.trailers = fields;
      this.#headers.resolve(fields);
    }
    if (end) this.receiveEnd();
  }

  receiveData(data: Uint8Array, flowed: number, end: boolean, window: number): void {
    if (this.#ended) return;
    if (this.#waiting + this.untold + flowed > window)
      throw new CortenError("resource_exhausted", "HTTP/2: more was sent than there was room for");
    // Padding counts as read at once.
    if (flowed > data.length) {
      this.untold += flowed - data.length;
      this.#below.taken(flowed - data.length);
    }
    if (data.length > 0) {
      this.#chunks.push(data);
      this.#waiting += data.length;
    }
    if (end) this.receiveEnd();
    else this.#wake();
  }

  receiveEnd(): void {
    this.#ended = true;
    this.#headers.resolve([]);
    this.#wake();
    this.#settle();
  }

  receiveReset(code: number): void {
    // Section 8.1: a server may end its answer and want no more of the request.
    if (code === errorCode.none && this.#ended) {
      this.#sendingEnded();
      return;
    }
    const cancelled = code === errorCode.cancel || code === errorCode.none;
    this.fail(
      cancelled
        ? new CortenError("canceled", "the other side canceled the call")
        : new CortenError("unavailable", `the other side reset the call (HTTP/2 error ${code})`),
    );
  }

  fail(error: CortenError): void {
    if (this.failed) return;
    this.failed = error;
    // Nobody reads it any more; the other streams need the room.
    this.#below.taken(this.#waiting);
    this.#chunks.length = 0;
    this.#waiting = 0;
    this.#headers.reject(error);
    this.#wake();
    this.#gone.abort(error);
    this.#below.closed();
  }

  #sendingEnded(): void {
    this.#sentEnd = true;
    this.#settle();
  }

  #settle(): void {
    if (this.#ended && this.#sentEnd) this.#below.closed();
  }

  #wake(): void {
    const wake = this.#wakeReader;
    this.#wakeReader = undefined;
    wake?.();
  }
}
