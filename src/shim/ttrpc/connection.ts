import { deferred } from "../../base/async.ts";
import { encodeFrame, type Frame, FrameReader } from "./frame.ts";

type BunSocket = import("bun").Socket<undefined>;

/** A listening socket's path, or a connected socket that we were given. */
export type Endpoint = { path: string } | { fd: number };

export interface ConnectionEvents {
  frame(frame: Frame): void;
  /** Once, after the last frame. */
  close(): void;
}

/** Bytes that may wait for the other side before senders do. */
const backlogLimit = 4 << 20;

/** Frames over a stream socket, with back pressure in both directions. */
export class Connection {
  #socket: BunSocket | undefined;
  readonly #reader: FrameReader;
  readonly #events: ConnectionEvents;
  #output: Uint8Array[] = [];
  #backlog = 0;
  #drained = deferred<void>();
  #holds = 0;
  #closed = false;

  constructor(events: ConnectionEvents) {
    this.#events = events;
    this.#reader = new FrameReader((frame) => {
      if (!this.#closed) events.frame(frame);
    });
  }

  static async connect(endpoint: Endpoint, events: ConnectionEvents): Promise<Connection> {
    const connection = new Connection(events);
    // Bun connects to a descriptor too (FdSocketOptions), its overloads only do not list it.
    const target = "path" in endpoint ? { unix: endpoint.path } : { fd: endpoint.fd };
    const options = { ...target, socket: connection.handlers() };
    await Bun.connect(options as unknown as import("bun").UnixSocketOptions);
    return connection;
  }

  /** What Bun is to call for this connection's socket. */
  handlers() {
    return {
      open: (socket: BunSocket) => this.opened(socket),
      data: (_: unknown, data: Uint8Array) => this.received(data),
      drain: () => this.flush(),
      end: () => this.ended(),
      close: () => this.ended(),
      error: () => this.ended(),
      connectError: () => this.ended(),
    };
  }

  opened(socket: BunSocket): void {
    this.#socket = socket;
    if (this.#holds > 0) socket.pause();
    this.flush();
  }

  received(data: Uint8Array): void {
    if (!this.#closed) this.#reader.push(data);
  }

  /** Sends a frame, or keeps it until the other side reads; `ready` tells when it does again. */
  send(stream: number, type: number, flags: number, payload?: Uint8Array): void {
    if (this.#closed) return;
    const bytes = encodeFrame(stream, type, flags, payload);
    this.#output.push(bytes);
    this.#backlog += bytes.length;
    if (this.#output.length === 1) this.flush();
  }

  /** Undefined while there is room for more, otherwise what to wait for. */
  get ready(): Promise<void> | undefined {
    return this.#closed || this.#backlog < backlogLimit ? undefined : this.#drained.promise;
  }

  flush(): void {
    const socket = this.#socket;
    if (!socket || this.#closed) return;
    for (let next = this.#output[0]; next; next = this.#output[0]) {
      const written = socket.write(next);
      if (written < 0) {
        this.ended();
        return;
      }
      this.#backlog -= written;
      if (written < next.length) {
        this.#output[0] = next.subarray(written);
        return;
      }
      this.#output.shift();
    }
    this.#settle();
  }

  #settle(): void {
    this.#drained.resolve();
    this.#drained = deferred<void>();
  }

  /** Stops reading until as many calls of `resume`. */
  pause(): void {
    if (this.#holds++ === 0) this.#socket?.pause();
  }
  resume(): void {
    if (--this.#holds === 0) this.#socket?.resume();
  }

  /** Whether this connection keeps the event loop alive. */
  unref(): void {
    this.#socket?.unref();
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Closes at once; what was not yet sent is lost. */
  close(): void {
    this.ended();
  }

  ended(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#output = [];
    this.#backlog = 0;
    this.#settle();
    this.#socket?.end();
    this.#events.close();
  }
}
