/** A client of containerd's streaming service, as containerd's own transfer client uses it. */
import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { type Any, EmptySchema } from "@bufbuild/protobuf/wkt";
import type { Client } from "@connectrpc/connect";
import {
  StreamInitSchema,
  type Streaming,
} from "../../proto/gen/containerd/services/streaming/v1/streaming_pb.ts";
import { DataSchema, WindowUpdateSchema } from "../../proto/gen/containerd/types/transfer/streaming_pb.ts";
import { deferred } from "../../src/base/async.ts";
import { packAny, unpackAny } from "../../src/containerd/client/typeurl.ts";

export class ClientStream {
  readonly #queue: Any[] = [];
  #wake = deferred<void>();
  #ended = false;
  readonly #answers: AsyncIterator<Any>;
  readonly #abort = new AbortController();

  private constructor(client: Client<typeof Streaming>) {
    this.#answers = client.stream(this.#requests(), { signal: this.#abort.signal })[Symbol.asyncIterator]();
  }

  /** Opens a stream and waits until the daemon knows it. */
  static async open(client: Client<typeof Streaming>, id: string): Promise<ClientStream> {
    const stream = new ClientStream(client);
    stream.send(StreamInitSchema, { id });
    const answer = await stream.#answers.next();
    if (answer.done || !unpackAny(EmptySchema, answer.value))
      throw new Error("the stream was not acknowledged");
    return stream;
  }

  async *#requests(): AsyncGenerator<Any> {
    for (;;) {
      const next = this.#queue.shift();
      if (next) yield next;
      else if (this.#ended) return;
      else {
        await this.#wake.promise;
        this.#wake = deferred();
      }
    }
  }

  send<T extends DescMessage>(schema: T, value: MessageInitShape<T>): void {
    this.#queue.push(packAny(schema, value));
    this.#wake.resolve();
  }

  async receive<T extends DescMessage>(schema: T): Promise<MessageShape<T> | undefined> {
    const next = await this.#answers.next();
    if (next.done) return undefined;
    const message = unpackAny(schema, next.value);
    if (!message) throw new Error(`got ${next.value.typeUrl}, not ${schema.typeName}`);
    return message;
  }

  /** Sends bytes as the daemon grants, and ends our side. */
  async sendBytes(bytes: Uint8Array): Promise<void> {
    let window = 0;
    for (let at = 0; at < bytes.length; ) {
      while (window <= 0) window += (await this.receive(WindowUpdateSchema))?.update ?? 0;
      const size = Math.min(window, 32 << 10, bytes.length - at);
      this.send(DataSchema, { data: bytes.subarray(at, at + size) });
      at += size;
      window -= size;
    }
    this.end();
  }

  /** All bytes until the daemon ends the stream. */
  async receiveBytes(): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    for (;;) {
      this.send(WindowUpdateSchema, { update: 64 << 10 });
      const data = await this.receive(DataSchema);
      if (!data) return Buffer.concat(parts);
      parts.push(data.data);
    }
  }

  end(): void {
    this.#ended = true;
    this.#wake.resolve();
  }

  /** Breaks the call off. */
  break(): void {
    this.#abort.abort();
  }
}
