/** Serves gRPC services on an HTTP/2 connection. */
import {
  create,
  type DescMethod,
  type DescService,
  fromBinary,
  type Message,
  toBinary,
} from "@bufbuild/protobuf";
import { CortenError, unimplemented } from "../../../base/errors.ts";
import { log } from "../../../base/log.ts";
import { type ByteConnection, Http2Connection } from "../http2/connection.ts";
import type { Field } from "../http2/hpack.ts";
import type { Http2Stream } from "../http2/stream.ts";
import { frameMessage, messagesOf } from "./messages.ts";
import { type Detail, statusFields } from "./status.ts";

/** What a method knows of its call. */
export interface CallContext {
  readonly metadata: ReadonlyMap<string, readonly string[]>;
  /** Aborts when the caller gives up. */
  readonly signal: AbortSignal;
}

type Unary = (input: Message, context: CallContext) => Promise<object> | object;
type Stream = (input: AsyncIterable<Message>, context: CallContext) => AsyncIterable<object>;

/** A method by its name in the definition: unary, or streaming (one message of input when it does not stream). */
export type Implementation = Readonly<
  Record<string, { unary: Unary; stream?: never } | { stream: Stream; unary?: never }>
>;

/** Typed helpers: the message's shape is the method's. */
export const unary = <I extends Message>(
  run: (input: I, context: CallContext) => Promise<object> | object,
): { unary: Unary } => ({ unary: run as unknown as Unary });
export const streaming = <I extends Message>(
  run: (input: AsyncIterable<I>, context: CallContext) => AsyncIterable<object>,
): { stream: Stream } => ({ stream: run as unknown as Stream });
export const serverStreaming = <I extends Message>(
  run: (input: I, context: CallContext) => AsyncIterable<object>,
): { stream: Stream } => ({
  async *stream(inputs, context) {
    for await (const input of inputs) {
      yield* run(input as I, context);
      return;
    }
  },
});

export interface ServerOptions {
  services: readonly (readonly [service: DescService, implementation: Implementation])[];
  /** Typed errors that go with one. */
  details?: (error: unknown) => Detail[];
}

interface Method {
  description: DescMethod;
  run: Implementation[string];
}

/** Serves until the connection ends. */
export function serveGrpc(bytes: ByteConnection, options: ServerOptions): Http2Connection {
  const methods = new Map<string, Method>();
  for (const [service, implementation] of options.services)
    for (const description of service.methods) {
      const run = implementation[description.name];
      if (run) methods.set(`/${service.typeName}/${description.name}`, { description, run });
    }
  return new Http2Connection(bytes, {
    role: "server",
    onStream: (stream, headers) => {
      serveCall(stream, headers, methods, options).catch((error) =>
        log.debug("a call ended badly", { error: String(error) }),
      );
    },
  });
}

async function serveCall(
  stream: Http2Stream,
  headers: readonly Field[],
  methods: ReadonlyMap<string, Method>,
  { details }: ServerOptions,
): Promise<void> {
  const metadata = new Map<string, string[]>();
  for (const [name, value] of headers) metadata.set(name, [...(metadata.get(name) ?? []), value]);
  const path = metadata.get(":path")?.[0] ?? "";
  let started = false;
  const start = () => {
    if (started) return;
    started = true;
    stream.sendHeaders(
      [
        [":status", "200"],
        ["content-type", "application/grpc"],
      ],
      false,
    );
  };
  const context: CallContext = { metadata, signal: stream.gone };
  let failure: unknown;
  try {
    const method = methods.get(path);
    if (!method) throw unimplemented(`unknown method ${path}`);
    const { input, output } = method.description;
    const inputs = decoded(stream, input);
    const send = (message: object) => {
      start();
      return stream.write(frameMessage(toBinary(output, create(output, message as Record<string, unknown>))));
    };
    if (method.run.unary) {
      const first = await inputs.next();
      if (first.done) throw new CortenError("invalid_argument", `${path}: the request has no message`);
      await send(await method.run.unary(first.value, context));
    } else for await (const message of method.run.stream(inputs, context)) await send(message);
  } catch (error) {
    failure = error ?? new CortenError("unknown", "failed");
  }
  if (stream.failed) return;
  start();
  stream.sendHeaders(statusFields(failure, failure === undefined ? [] : details?.(failure)), true);
  // What is still coming is of no use to anyone.
  stream.reset(0);
}

async function* decoded(stream: Http2Stream, schema: DescMethod["input"]): AsyncGenerator<Message> {
  for await (const bytes of messagesOf(stream)) yield fromBinary(schema, bytes);
}
