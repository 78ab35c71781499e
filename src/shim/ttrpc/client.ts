import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodStreaming,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  type StreamResponse,
  type Transport,
  type UnaryResponse,
} from "@connectrpc/connect";
import { RequestSchema, ResponseSchema } from "../../../proto/gen/ttrpc/ttrpc_pb.ts";
import { deferred } from "../../base/async.ts";
import { isCode, messageOf } from "../../base/errors.ts";
import { Connection, type Endpoint } from "./connection.ts";
import { type Frame, frameFlags, frameTypes, messageLimit } from "./frame.ts";
import { Inbox } from "./inbox.ts";
import { errorOf } from "./status.ts";

export interface TtrpcTransportOptions {
  /** Where the server is; it is called with the first call. */
  connect: Endpoint;
  /** The connection does not keep this process alive. */
  unref?: boolean;
}

/**
 * A transport for connect's `createClient`; every call fails with "unavailable" once the connection has ended.
 * Leave a stream before its end by the call's signal: connect's client does not tell us of a `break`, and a stream that
 * nobody reads stops the others on its connection.
 */
export interface TtrpcTransport extends Transport {
  /** Connects now rather than with the first call. */
  open(): Promise<void>;
  /** When the connection has ended, by whichever side; never rejects. */
  readonly closed: Promise<void>;
  close(): void;
}

/** Calls over ttrpc (containerd/ttrpc, PROTOCOL.md): unary and streaming, on one connection of its own. */
export function createTtrpcTransport(options: TtrpcTransportOptions): TtrpcTransport {
  return new Client(options);
}

type HeadersInit = ConstructorParameters<typeof Headers>[0];

/** setTimeout takes no more. */
const longestTimer = 2 ** 31 - 1;

interface Call {
  id: number;
  inbox: Inbox<Frame>;
  /** Forgets the stream; frames that still come for it are dropped. */
  done(): void;
}

class Client implements TtrpcTransport {
  readonly #options: TtrpcTransportOptions;
  readonly #calls = new Map<number, Inbox<Frame>>();
  readonly #closed = deferred<void>();
  #connecting: Promise<Connection> | undefined;
  #connection: Connection | undefined;
  #next = 1;
  #over = false;

  constructor(options: TtrpcTransportOptions) {
    this.#options = options;
  }

  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  async open(): Promise<void> {
    await this.#connect();
  }

  close(): void {
    this.#over = true;
    if (this.#connection) this.#connection.close();
    else this.#ended();
  }

  async unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    header: HeadersInit | undefined,
    input: MessageInitShape<I>,
  ): Promise<UnaryResponse<I, O>> {
    const payload = toBinary(method.input, create(method.input, input));
    const call = await this.#begin(method, 0, payload, header, signal, timeoutMs);
    try {
      const frame = await call.inbox.next();
      if (frame?.type !== frameTypes.response) throw protocolError(method, frame);
      const message = fromBinary(method.output, readResponse(frame));
      return { ...envelope(method), stream: false, message };
    } catch (error) {
      throw asConnectError(error);
    } finally {
      call.done();
    }
  }

  async stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodStreaming<I, O>,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    header: HeadersInit | undefined,
    input: AsyncIterable<MessageInitShape<I>>,
  ): Promise<StreamResponse<I, O>> {
    const inputs = input[Symbol.asyncIterator]();
    const encode = (message: MessageInitShape<I>) => toBinary(method.input, create(method.input, message));
    let call: Call;
    if (method.methodKind === "server_streaming") {
      const first = await inputs.next();
      if (first.done) throw new ConnectError(`${method.name} without a message`, Code.Internal);
      call = await this.#begin(
        method,
        frameFlags.remoteClosed,
        encode(first.value),
        header,
        signal,
        timeoutMs,
      );
    } else {
      call = await this.#begin(method, frameFlags.remoteOpen, undefined, header, signal, timeoutMs);
      void this.#pump(call, inputs, encode);
    }
    return { ...envelope(method), stream: true, message: readStream(method, call) };
  }

  /** Sends the caller's messages until they end, or the call does. */
  async #pump<T>(call: Call, inputs: AsyncIterator<T>, encode: (message: T) => Uint8Array): Promise<void> {
    const connection = this.#connection!;
    try {
      for (;;) {
        await connection.ready;
        const next = await inputs.next();
        if (call.inbox.over || connection.closed) {
          await inputs.return?.();
          return;
        }
        if (next.done) break;
        const payload = encode(next.value);
        if (payload.length > messageLimit) throw tooLarge(payload.length);
        connection.send(call.id, frameTypes.data, 0, payload);
      }
    } catch (error) {
      call.inbox.end(asConnectError(error));
    }
    connection.send(call.id, frameTypes.data, frameFlags.remoteClosed | frameFlags.noData);
  }

  async #begin(
    method: DescMethod,
    flags: number,
    payload: Uint8Array | undefined,
    header: HeadersInit | undefined,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
  ): Promise<Call> {
    if (signal?.aborted) throw aborted(signal);
    const request = toBinary(
      RequestSchema,
      create(RequestSchema, {
        service: method.parent.typeName,
        method: method.name,
        ...(payload ? { payload } : {}),
        ...(timeoutMs === undefined ? {} : { timeoutNano: BigInt(Math.max(1, Math.round(timeoutMs * 1e6))) }),
        metadata: [...new Headers(header)].map(([key, value]) => ({ key, value })),
      }),
    );
    if (request.length > messageLimit) throw tooLarge(request.length);
    const connection = await this.#connect();
    await connection.ready;
    if (connection.closed) throw closedError();
    const id = this.#next;
    this.#next += 2;
    const inbox = new Inbox<Frame>(connection);
    this.#calls.set(id, inbox);
    const onAbort = () => inbox.discard(aborted(signal!));
    signal?.addEventListener("abort", onAbort);
    const timer =
      timeoutMs === undefined
        ? undefined
        : setTimeout(
            () => inbox.discard(new ConnectError("the operation timed out", Code.DeadlineExceeded)),
            Math.min(timeoutMs, longestTimer),
          );
    // It may have been aborted while we connected.
    if (signal?.aborted) onAbort();
    connection.send(id, frameTypes.request, flags, request);
    return {
      id,
      inbox,
      done: () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
        this.#calls.delete(id);
        inbox.discard();
      },
    };
  }

  #connect(): Promise<Connection> {
    if (this.#over) return Promise.reject(closedError());
    this.#connecting ??= Connection.connect(this.#options.connect, {
      frame: (frame) => this.#received(frame),
      close: () => this.#ended(),
    }).then(
      (connection) => {
        this.#connection = connection;
        if (this.#over) connection.close();
        else if (this.#options.unref) connection.unref();
        return connection;
      },
      (error) => {
        this.#over = true;
        this.#ended();
        const { connect } = this.#options;
        const where = "path" in connect ? connect.path : `descriptor ${connect.fd}`;
        throw new ConnectError(`ttrpc: ${where}: ${messageOf(error)}`, Code.Unavailable);
      },
    );
    return this.#connecting;
  }

  #received(frame: Frame): void {
    const inbox = this.#calls.get(frame.stream);
    // Of a call that was given up, or never made.
    if (!inbox) return;
    if (frame.oversized !== undefined) inbox.end(tooLarge(frame.oversized));
    else inbox.push(frame, frame.payload.length);
  }

  #ended(): void {
    this.#over = true;
    for (const inbox of this.#calls.values()) inbox.end(closedError());
    this.#closed.resolve();
  }
}

/** The messages of a stream until the server closes it, by a last data message or by a response. */
async function* readStream<I extends DescMessage, O extends DescMessage>(
  method: DescMethodStreaming<I, O>,
  call: Call,
): AsyncGenerator<MessageShape<O>> {
  try {
    for (;;) {
      const frame = await call.inbox.next();
      if (!frame) throw protocolError(method, frame);
      if (frame.type === frameTypes.response) {
        const payload = readResponse(frame);
        // The one answer of a client's stream; after a server's stream there is nothing in it.
        if (method.methodKind === "client_streaming" || payload.length > 0)
          yield fromBinary(method.output, payload);
        return;
      }
      if (frame.type !== frameTypes.data || method.methodKind === "client_streaming")
        throw protocolError(method, frame);
      if (!(frame.flags & frameFlags.noData)) yield fromBinary(method.output, frame.payload);
      if (frame.flags & frameFlags.remoteClosed) return;
    }
  } catch (error) {
    throw asConnectError(error);
  } finally {
    call.done();
  }
}

/** The payload of a response frame; throws the error in its status. */
function readResponse(frame: Frame): Uint8Array {
  const { status, payload } = fromBinary(ResponseSchema, frame.payload);
  const error = errorOf(status);
  if (error) throw error;
  return payload;
}

const envelope = <M extends DescMethod>(method: M) => ({
  service: method.parent,
  method,
  header: new Headers(),
  trailer: new Headers(),
});

const closedError = () => new ConnectError("ttrpc: closed", Code.Unavailable);

const tooLarge = (size: number) =>
  new ConnectError(
    `ttrpc: a message of ${size} bytes is larger than ${messageLimit}`,
    Code.ResourceExhausted,
  );

const protocolError = (method: DescMethod, frame: Frame | undefined) =>
  new ConnectError(
    frame
      ? `ttrpc: ${method.name} was answered by a message of type ${frame.type}`
      : `ttrpc: ${method.name} was not answered`,
    Code.Internal,
  );

function aborted(signal: AbortSignal): ConnectError {
  const { reason } = signal;
  if (reason instanceof ConnectError) return reason;
  const late = isCode(reason, "deadline_exceeded") || (reason as Error | undefined)?.name === "TimeoutError";
  return new ConnectError(
    late ? "the operation timed out" : "the call was cancelled",
    late ? Code.DeadlineExceeded : Code.Canceled,
  );
}

/** What is not an error of the call is a payload that cannot be read. */
const asConnectError = (error: unknown): ConnectError =>
  error instanceof ConnectError ? error : new ConnectError(messageOf(error), Code.Internal);
