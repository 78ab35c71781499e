import type { Any } from "@bufbuild/protobuf/wkt";
import { type Deferred, deferred } from "../../base/async.ts";
import { alreadyExists, CortenError, conflict, invalid, messageOf, notFound } from "../../base/errors.ts";

/** Streams that are open at once, of all namespaces; a transfer has up to three. */
const mostStreams = 1024;
const longestName = 256;

/** Two-way messages with a client, under a name that another call of the client's refers to. */
export class NamedStream {
  readonly #inputs: AsyncIterator<Any>;
  readonly #ended = deferred<void>();
  #over = false;
  #failure: unknown;
  /** The one message that is on its way out: who sends waits for it, so nothing piles up here. */
  #outgoing: { message: Any; sent: Deferred<void> } | undefined;
  #wanted: Deferred<void> | undefined;
  /** Set while somebody waits for room. */
  #room: Deferred<void> | undefined;
  taken = false;

  constructor(inputs: AsyncIterator<Any>) {
    this.#inputs = inputs;
  }

  /** Settled when either side has ended it; never rejects. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  get over(): boolean {
    return this.#over;
  }

  /** Gives a message to the client; waits until the transport has taken it. Fails when the stream is over. */
  async send(message: Any): Promise<void> {
    while (this.#outgoing && !this.#over) {
      this.#room ??= deferred();
      await this.#room.promise;
    }
    if (this.#over) throw this.#broken();
    const sent = deferred<void>();
    this.#outgoing = { message, sent };
    this.#wanted?.resolve();
    await sent.promise;
  }

  /** The client's next message; undefined after its last. */
  async receive(): Promise<Any | undefined> {
    if (this.#over) throw this.#broken();
    const next = this.#inputs.next();
    next.catch(() => {});
    const result = await Promise.race([next, this.#ended.promise.then(() => "ended" as const)]);
    if (result === "ended") throw this.#broken();
    return result.done ? undefined : result.value;
  }

  /** What the service writes: every message given to `send`, until the stream is over. */
  async *outputs(): AsyncGenerator<Any> {
    for (;;) {
      const out = this.#outgoing;
      if (out) {
        yield out.message;
        // Asked for the next one: the transport has this one.
        this.#outgoing = undefined;
        out.sent.resolve();
        this.#room?.resolve();
        this.#room = undefined;
        continue;
      }
      if (this.#over) return;
      this.#wanted = deferred();
      await this.#wanted.promise;
      this.#wanted = undefined;
    }
  }

  /** Ends it, from either side. With a failure at once; without one what was given to `send` still goes out. */
  close(failure?: unknown): void {
    if (!this.#over) {
      this.#over = true;
      this.#failure = failure;
      this.#ended.resolve();
      this.#wanted?.resolve();
      this.#room?.resolve();
    }
    if (failure === undefined || !this.#outgoing) return;
    this.#outgoing.sent.reject(this.#broken());
    this.#outgoing = undefined;
  }

  #broken(): CortenError {
    const why = this.#failure === undefined ? "" : `: ${messageOf(this.#failure)}`;
    return new CortenError("canceled", `the stream has ended${why}`, { cause: this.#failure });
  }
}

/** The streams of all clients, by namespace and name, from their first message to their end. */
export class Streams {
  readonly #streams = new Map<string, NamedStream>();

  register(namespace: string, name: string, stream: NamedStream): void {
    if (name === "" || name.length > longestName)
      throw invalid(`stream id must have 1 to ${longestName} characters: invalid argument`);
    const key = `${namespace}/${name}`;
    if (this.#streams.has(key)) throw alreadyExists("already exists");
    if (this.#streams.size >= mostStreams)
      throw new CortenError("resource_exhausted", `more than ${mostStreams} streams are open`);
    this.#streams.set(key, stream);
  }

  unregister(namespace: string, name: string, stream: NamedStream): void {
    const key = `${namespace}/${name}`;
    if (this.#streams.get(key) === stream) this.#streams.delete(key);
  }

  /** The stream for the one call that uses it, which closes it in the end. */
  take(namespace: string, name: string): NamedStream {
    const stream = this.#streams.get(`${namespace}/${name}`);
    if (!stream || stream.over) throw notFound(`stream ${JSON.stringify(name)}: not found`);
    if (stream.taken) throw conflict(`stream ${JSON.stringify(name)} is in use: failed precondition`);
    stream.taken = true;
    return stream;
  }

  get size(): number {
    return this.#streams.size;
  }
}
