import { deferred } from "../../base/async.ts";
import type { Connection } from "./connection.ts";

/** Unread bytes of one stream at which its connection is no longer read. */
const unreadLimit = 4 << 20;

interface Entry<T> {
  value: T;
  size: number;
}

/**
 * What has arrived for one stream and was not read yet. ttrpc has no windows: who does not read stops the whole
 * connection, as with Go's.
 */
export class Inbox<T> implements AsyncIterable<T> {
  readonly #connection: Connection;
  #entries: Entry<T>[] = [];
  #unread = 0;
  #holding = false;
  #over = false;
  #error: unknown;
  #arrived = deferred<void>();

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  get over(): boolean {
    return this.#over;
  }

  push(value: T, size: number): void {
    if (this.#over) return;
    this.#entries.push({ value, size });
    // Empty messages have a price, too.
    this.#unread += size + 64;
    if (!this.#holding && this.#unread > unreadLimit) {
      this.#holding = true;
      this.#connection.pause();
    }
    this.#wake();
  }

  /** Nothing more comes; what has come can still be read. */
  end(error?: unknown): void {
    if (this.#over) return;
    this.#over = true;
    this.#error = error;
    this.#wake();
  }

  /** What has come is dropped, and so is what will: nobody reads any more, or only to see the error. */
  discard(error?: unknown): void {
    this.#entries = [];
    this.#unread = 0;
    this.#error ??= error;
    this.end(error);
    this.#release();
  }

  /** The next one; undefined at the end. */
  async next(): Promise<T | undefined> {
    for (;;) {
      const entry = this.#entries.shift();
      if (entry) {
        this.#unread -= entry.size + 64;
        if (this.#unread <= unreadLimit / 2) this.#release();
        return entry.value;
      }
      if (this.#over) {
        if (this.#error !== undefined) throw this.#error;
        return undefined;
      }
      await this.#arrived.promise;
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    try {
      for (;;) {
        const value = await this.next();
        if (value === undefined) return;
        yield value;
      }
    } finally {
      this.discard();
    }
  }

  #wake(): void {
    this.#arrived.resolve();
    this.#arrived = deferred<void>();
  }

  #release(): void {
    if (!this.#holding) return;
    this.#holding = false;
    this.#connection.resume();
  }
}
