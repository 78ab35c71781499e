/** Calls to the services at the other end of an HTTP/2 connection. */

import type { DescMethodUnary, MessageInitShape } from "@bufbuild/protobuf";
import { create, type DescMethod, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { invalid } from "../../../base/errors.ts";
import type { Http2Connection } from "../http2/connection.ts";
import type { Field } from "../http2/hpack.ts";
import { frameMessage, messagesOf } from "./messages.ts";
import { errorOf } from "./status.ts";

/** What goes with a call: a name may have several values. */
export type Metadata = Readonly<Record<string, readonly string[]>>;

/** A call in both directions; the messages are bytes. */
export interface RawCall {
  send(message: Uint8Array): Promise<void>;
  /** No more is sent. */
  end(): Promise<void>;
  /** The other side's messages; throws its error at the end, if there is one. */
  messages(): AsyncGenerator<Buffer>;
  cancel(): void;
}

export class GrpcClient {
  readonly #connection: Http2Connection;

  constructor(connection: Http2Connection) {
    this.#connection = connection;
  }

  /** Begins a call. */
  open(method: DescMethod, metadata: Metadata, signal?: AbortSignal): RawCall {
    signal?.throwIfAborted();
    const path = `/${method.parent.typeName}/${method.name}`;
    const fields: Field[] = [
      [":method", "POST"],
      [":scheme", "http"],
      [":path", path],
      [":authority", "localhost"],
      ["content-type", "application/grpc"],
      ["te", "trailers"],
    ];
    for (const [name, values] of Object.entries(metadata))
      for (const value of values) {
        if (/[^\x20-\x7e]/.test(value)) throw invalid(`${name}: ${JSON.stringify(value)} cannot be sent`);
        fields.push([name, value]);
      }
    const stream = this.#connection.open(fields);
    const cancel = () => stream.reset();
    signal?.addEventListener("abort", cancel, { once: true });
    const settle = () => signal?.removeEventListener("abort", cancel);
    return {
      send: (message) => stream.write(frameMessage(message)),
      end: () => stream.end(),
      cancel,
      async *messages() {
        let over = false;
        try {
          const headers = await stream.headers;
          yield* messagesOf(stream);
          over = true;
          const error = errorOf(stream.trailers.length > 0 ? stream.trailers : headers, path);
          if (error) throw error;
        } finally {
          settle();
          if (!over) stream.reset();
        }
      },
    };
  }

  async unary<M extends DescMethodUnary>(
    method: M,
    input: MessageInitShape<M["input"]>,
    options: { metadata?: Metadata; signal?: AbortSignal } = {},
  ): Promise<MessageShape<M["output"]>> {
    const call = this.open(method, options.metadata ?? {}, options.signal);
    await call.send(toBinary(method.input, create(method.input, input)));
    await call.end();
    let answer: Buffer | undefined;
    for await (const message of call.messages()) answer ??= Buffer.from(message);
    return fromBinary(method.output, answer ?? Buffer.alloc(0)) as MessageShape<M["output"]>;
  }
}
