import { chmodSync, rmSync } from "node:fs";
import {
  create,
  type DescMethod,
  type DescService,
  fromBinary,
  type Message,
  type MessageInitShape,
  toBinary,
} from "@bufbuild/protobuf";
import { createContextValues, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import { type Request, RequestSchema, ResponseSchema } from "../../../proto/gen/ttrpc/ttrpc_pb.ts";
import { CortenError, invalid, messageOf, unimplemented } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import { Connection } from "./connection.ts";
import { type Frame, frameFlags, frameTypes, messageLimit } from "./frame.ts";
import { Inbox } from "./inbox.ts";
import { statusOf } from "./status.ts";

/** Calls of one connection that may run at once. */
const callLimit = 1024;

const longestTimer = 2 ** 31 - 1;

type AnyImpl = Record<string, ((input: unknown, context: HandlerContext) => unknown) | undefined>;

interface Published {
  service: DescService;
  impl: AnyImpl;
}

interface Running {
  /** Of a method whose client streams. */
  inbox: Inbox<Message> | undefined;
  method: DescMethod;
  abort: AbortController;
}

export interface TtrpcServerOptions {
  /** Called when the number of open connections changes. */
  onConnections?(count: number): void;
}

/** Serves implementations of connect's kind over ttrpc (containerd/ttrpc, PROTOCOL.md). */
export class TtrpcServer {
  readonly #services = new Map<string, Published>();
  readonly #connections = new Set<ServerConnection>();
  readonly #listeners: Array<{ listener: { stop(closeActive?: boolean): void }; path: string }> = [];
  readonly #options: TtrpcServerOptions;

  constructor(options: TtrpcServerOptions = {}) {
    this.#options = options;
  }

  /** Publishes a service; `as` is another name for the same methods (containerd.task.v3 is v2's in all but name). */
  service<T extends DescService>(service: T, impl: Partial<ServiceImpl<T>>, as = service.typeName): this {
    this.#services.set(as, { service, impl: impl as AnyImpl });
    return this;
  }

  /**
   * Listens on a socket that only root can use; a file that is in the way is the caller's to remove. `metadata` is what
   * its calls have whatever they say themselves: a socket of a namespace, for one.
   */
  listen(path: string, metadata: Readonly<Record<string, string>> = {}): void {
    const connections = new WeakMap<object, ServerConnection>();
    const mask = process.umask(0o177);
    try {
      const listener = Bun.listen<undefined>({
        unix: path,
        socket: {
          open: (socket) => {
            const connection = this.#accept(metadata);
            connections.set(socket, connection);
            connection.wire.opened(socket);
          },
          data: (socket, data) => connections.get(socket)?.wire.received(data),
          drain: (socket) => connections.get(socket)?.wire.flush(),
          end: (socket) => connections.get(socket)?.wire.ended(),
          close: (socket) => connections.get(socket)?.wire.ended(),
          error: (socket) => connections.get(socket)?.wire.ended(),
        },
      });
      this.#listeners.push({ listener, path });
    } finally {
      process.umask(mask);
    }
    chmodSync(path, 0o600);
  }

  /** Serves one connection that we were given as a descriptor (a socket on standard input, for one). */
  async serve(fd: number): Promise<void> {
    const connection = this.#accept({});
    const options = { fd, socket: connection.wire.handlers() };
    await Bun.connect(options as unknown as import("bun").UnixSocketOptions);
  }

  get connections(): number {
    return this.#connections.size;
  }

  /** Ends everything: no new connections, and the open ones are cut. */
  close(): void {
    for (const { listener, path } of this.#listeners.splice(0)) {
      listener.stop(true);
      rmSync(path, { force: true });
    }
    for (const connection of [...this.#connections]) connection.wire.close();
  }

  #accept(metadata: Readonly<Record<string, string>>): ServerConnection {
    const connection = new ServerConnection(
      (name) => this.#services.get(name),
      metadata,
      () => {
        this.#connections.delete(connection);
        this.#options.onConnections?.(this.#connections.size);
      },
    );
    this.#connections.add(connection);
    this.#options.onConnections?.(this.#connections.size);
    return connection;
  }
}

/** One client's streams. */
class ServerConnection {
  readonly wire: Connection;
  readonly #find: (service: string) => Published | undefined;
  readonly #metadata: Readonly<Record<string, string>>;
  readonly #running = new Map<number, Running>();
  #last = 0;
  #held = false;

  constructor(
    find: (service: string) => Published | undefined,
    metadata: Readonly<Record<string, string>>,
    onClose: () => void,
  ) {
    this.#find = find;
    this.#metadata = metadata;
    this.wire = new Connection({
      frame: (frame) => {
        this.#received(frame);
        this.#holdBack();
      },
      close: () => {
        for (const { abort, inbox } of this.#running.values()) {
          const gone = new CortenError("canceled", "the client has gone");
          inbox?.end(gone);
          abort.abort(gone);
        }
        this.#running.clear();
        onClose();
      },
    });
  }

  /** Who does not read the answers may not ask more. */
  #holdBack(): void {
    const ready = this.wire.ready;
    if (!ready || this.#held) return;
    this.#held = true;
    this.wire.pause();
    void ready.then(() => {
      this.#held = false;
      this.wire.resume();
    });
  }

  #received(frame: Frame): void {
    const { stream, type } = frame;
    if (frame.oversized !== undefined) {
      const text = `message length ${frame.oversized} exceed maximum message size of ${messageLimit}`;
      this.#refuse(stream, new CortenError("resource_exhausted", text));
    } else if (stream % 2 !== 1)
      this.#refuse(stream, invalid("StreamID must be odd for client initiated streams"));
    else if (type === frameTypes.data) this.#data(frame);
    else if (type === frameTypes.request) this.#request(frame);
    // Other types are for later versions, and ignored.
  }

  #data({ stream, flags, payload }: Frame): void {
    const running = this.#running.get(stream);
    if (!running) {
      // A client goes on sending until it has heard of the end.
      if (stream > this.#last) this.#refuse(stream, invalid("StreamID is no longer active"));
      return;
    }
    const { inbox, method } = running;
    if (!inbox || inbox.over) {
      this.#refuse(stream, invalid("data handling error: stream closed"));
      return;
    }
    if (!(flags & frameFlags.noData)) {
      try {
        inbox.push(fromBinary(method.input, payload), payload.length);
      } catch (error) {
        this.#refuse(stream, invalid(`data handling error: ${messageOf(error)}`));
        return;
      }
    }
    if (flags & frameFlags.remoteClosed) inbox.end();
  }

  #request({ stream, flags, payload }: Frame): void {
    if (stream <= this.#last) {
      this.#refuse(stream, invalid("StreamID cannot be re-used and must increment"));
      return;
    }
    this.#last = stream;
    let request: Request;
    try {
      request = fromBinary(RequestSchema, payload);
    } catch (error) {
      this.#refuse(stream, invalid(`unmarshal request error: ${messageOf(error)}`));
      return;
    }
    const published = this.#find(request.service);
    const method = published?.service.methods.find(({ name }) => name === request.method);
    const implementation = method && published?.impl[method.localName];
    if (!published) this.#refuse(stream, unimplemented(`service ${request.service}`));
    else if (!implementation) this.#refuse(stream, unimplemented(`method ${request.method}`));
    else if (this.#running.size >= callLimit)
      this.#refuse(stream, new CortenError("resource_exhausted", "too many calls at once"));
    else
      void this.#run(stream, flags, request, method, (input, context) =>
        implementation.call(published.impl, input, context),
      );
  }

  async #run(
    stream: number,
    flags: number,
    request: Request,
    method: DescMethod,
    implementation: (input: unknown, context: HandlerContext) => unknown,
  ): Promise<void> {
    const streaming = method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming";
    const inbox = streaming ? new Inbox<Message>(this.wire) : undefined;
    const abort = new AbortController();
    const running: Running = { inbox, method, abort };
    this.#running.set(stream, running);
    const timer = this.#deadline(stream, request.timeoutNano, abort);
    try {
      if (inbox) {
        if (request.payload.length > 0)
          inbox.push(fromBinary(method.input, request.payload), request.payload.length);
        if (flags & frameFlags.remoteClosed) inbox.end();
      }
      const input = inbox ?? fromBinary(method.input, request.payload);
      const answer = implementation(input, contextOf(request, method, abort.signal, this.#metadata));
      if (method.methodKind === "unary" || method.methodKind === "client_streaming") {
        const message = encode(method, (await answer) as MessageInitShape<typeof method.output>);
        if (this.#running.get(stream) === running) this.#respond(stream, undefined, message);
      } else await this.#sendStream(stream, running, answer as AsyncIterable<object>);
    } catch (error) {
      if (this.#running.get(stream) === running) this.#refuse(stream, error);
    } finally {
      clearTimeout(timer);
      inbox?.discard();
      if (this.#running.get(stream) === running) this.#running.delete(stream);
      abort.abort(new CortenError("canceled", "the call is over"));
    }
  }

  async #sendStream(stream: number, running: Running, messages: AsyncIterable<object>): Promise<void> {
    for await (const message of messages) {
      await this.wire.ready;
      if (this.#running.get(stream) !== running) return;
      this.wire.send(stream, frameTypes.data, 0, encode(running.method, message));
    }
    if (this.#running.get(stream) === running)
      this.wire.send(stream, frameTypes.data, frameFlags.remoteClosed | frameFlags.noData);
  }

  /** Answers in place of a call that does not in the time its client gave it. */
  #deadline(
    stream: number,
    nanoseconds: bigint,
    abort: AbortController,
  ): ReturnType<typeof setTimeout> | undefined {
    if (nanoseconds <= 0n) return undefined;
    const milliseconds = Math.min(Number(nanoseconds / 1_000_000n), longestTimer);
    return setTimeout(() => {
      const late = new CortenError("deadline_exceeded", "context deadline exceeded");
      if (this.#running.get(stream)?.abort === abort) this.#refuse(stream, late);
      abort.abort(late);
    }, milliseconds);
  }

  /** Ends a stream with an error; its number goes back with it even when that was what was wrong. */
  #refuse(stream: number, error: unknown): void {
    const running = this.#running.get(stream);
    this.#running.delete(stream);
    running?.inbox?.discard();
    running?.abort.abort(error);
    const status = statusOf(error);
    log.debug("ttrpc call failed", { stream, error: status.message });
    this.#respond(stream, status, undefined);
  }

  #respond(
    stream: number,
    status: ReturnType<typeof statusOf> | undefined,
    payload: Uint8Array | undefined,
  ): void {
    const response = create(ResponseSchema, {
      ...(status ? { status } : {}),
      ...(payload ? { payload } : {}),
    });
    const bytes = toBinary(ResponseSchema, response);
    if (bytes.length <= messageLimit) {
      this.wire.send(stream, frameTypes.response, 0, bytes);
      return;
    }
    const text = `the answer of ${bytes.length} bytes is larger than ${messageLimit}`;
    this.#respond(stream, statusOf(new CortenError("resource_exhausted", text)), undefined);
  }
}

function encode(method: DescMethod, message: object): Uint8Array {
  const bytes = toBinary(method.output, create(method.output, message as Record<string, unknown>));
  if (bytes.length > messageLimit)
    throw new CortenError(
      "resource_exhausted",
      `a message of ${bytes.length} bytes is larger than ${messageLimit}`,
    );
  return bytes;
}

/** Metadata whose names or values no header can have are left out: nobody asks for them. */
function headersOf(request: Request, metadata: Readonly<Record<string, string>>): Headers {
  const headers = new Headers();
  for (const { key, value } of request.metadata)
    try {
      headers.append(key, value);
    } catch (error) {
      log.debug("metadata left out", { key, error: messageOf(error) });
    }
  for (const [key, value] of Object.entries(metadata)) headers.set(key, value);
  return headers;
}

function contextOf(
  request: Request,
  method: DescMethod,
  signal: AbortSignal,
  metadata: Readonly<Record<string, string>>,
): HandlerContext {
  const until = request.timeoutNano > 0n ? Date.now() + Number(request.timeoutNano) / 1e6 : undefined;
  return {
    service: method.parent,
    method,
    signal,
    timeoutMs: () => (until === undefined ? undefined : until - Date.now()),
    protocolName: "ttrpc",
    requestMethod: "POST",
    url: `/${request.service}/${request.method}`,
    requestHeader: headersOf(request, metadata),
    responseHeader: new Headers(),
    responseTrailer: new Headers(),
    values: createContextValues(),
  };
}
