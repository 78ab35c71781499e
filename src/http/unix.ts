import type { Connection } from "./connection.ts";

type Native = import("bun").Socket<UnixConnection>;
type Listener = (chunk: Uint8Array) => void;
type Event = "data" | "end" | "close" | "error" | "drain";

/** A listening unix socket. Each connection is announced before its first byte is read. */
export function listenOnUnix(path: string, serve: (connection: Connection) => void): { close(): void } {
  const listener = Bun.listen<UnixConnection>({
    unix: path,
    allowHalfOpen: true,
    socket: {
      open(socket) {
        socket.data = new UnixConnection(socket);
        serve(socket.data);
      },
      data: (socket, chunk) => socket.data.emit("data", chunk),
      end: (socket) => socket.data.peerEnded(),
      drain: (socket) => socket.data.flush(),
      close: (socket) => socket.data.closed(),
      error: (socket) => socket.data.destroy(),
    },
  });
  return { close: () => listener.stop() };
}

/**
 * A connection of Bun's own sockets. node:net's, made of them and of three streams, cost a tenth of a millisecond and more of
 * CPU for each connection, and most clients make one for each request.
 */
class UnixConnection implements Connection {
  readonly #socket: Native;
  readonly #listeners = new Map<Event, Listener[]>();
  /** What the kernel has not taken yet, and who is told when it has. */
  #unsent: Uint8Array[] = [];
  #flushed: Array<() => void> = [];
  #paused = false;
  #peerEnded = false;
  #shut = false;
  #soon = false;
  #told = false;
  destroyed = false;
  writableEnded = false;

  constructor(socket: Native) {
    this.#socket = socket;
  }

  on(event: Event, listener: Listener | (() => void)): this {
    const listeners = this.#listeners.get(event);
    if (listeners) listeners.push(listener);
    else this.#listeners.set(event, [listener]);
    return this;
  }

  once(event: "close", listener: () => void): this {
    return this.on(event, listener);
  }

  off(event: Event, listener: () => void): this {
    const listeners = this.#listeners.get(event);
    const at = listeners?.indexOf(listener) ?? -1;
    if (listeners && at >= 0) this.#listeners.set(event, listeners.toSpliced(at, 1));
    return this;
  }

  emit(event: Event, chunk: Uint8Array = nothing): void {
    for (const listener of this.#listeners.get(event) ?? []) listener(chunk);
  }

  write(data: Uint8Array | string, done?: () => void): boolean {
    if (this.destroyed || this.writableEnded) return false;
    if (data.length > 0) {
      const bytes = typeof data === "string" ? Buffer.from(data) : data;
      const rest = this.#unsent.length > 0 ? bytes : this.#send(bytes);
      if (rest) this.#unsent.push(rest);
    }
    if (done) {
      if (this.#unsent.length === 0) queueMicrotask(done);
      else this.#flushed.push(done);
    }
    return this.#unsent.length === 0;
  }

  /** Gives to the kernel what it takes; returns the rest. */
  #send(bytes: Uint8Array): Uint8Array | undefined {
    const sent = this.#socket.write(bytes);
    // Closed: the event for that is on its way.
    if (sent < 0) return undefined;
    return sent < bytes.length ? bytes.subarray(sent) : undefined;
  }

  /** For the listener: there is room again. */
  flush(): void {
    while (this.#unsent.length > 0) {
      const rest = this.#send(this.#unsent[0]!);
      if (rest) {
        this.#unsent[0] = rest;
        return;
      }
      this.#unsent.shift();
    }
    for (const done of this.#flushed.splice(0)) done();
    this.emit("drain");
    this.#finish();
  }

  end(last?: string | (() => void)): this {
    if (typeof last === "string") this.write(last);
    const done = typeof last === "function" ? last : undefined;
    if (this.writableEnded || this.destroyed) {
      if (done) queueMicrotask(done);
      return this;
    }
    this.writableEnded = true;
    if (done) {
      if (this.#unsent.length === 0) queueMicrotask(done);
      else this.#flushed.push(done);
    }
    this.#finish();
    return this;
  }

  /** Sends FIN once all is sent, and lets go of a connection that has ended both ways. */
  #finish(): void {
    if (!this.writableEnded || this.#unsent.length > 0 || this.destroyed) return;
    if (!this.#shut) {
      this.#shut = true;
      this.#socket.shutdown();
    }
    if (this.#peerEnded || this.#soon) this.destroy();
  }

  destroySoon(): void {
    this.#soon = true;
    if (this.writableEnded) this.#finish();
    else this.end();
  }

  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.#socket.close();
    queueMicrotask(() => this.closed());
  }

  /** For the listener: the peer has sent FIN. */
  peerEnded(): void {
    if (this.#peerEnded) return;
    this.#peerEnded = true;
    this.emit("end");
    this.#finish();
  }

  /** For the listener: the connection is gone. */
  closed(): void {
    if (this.#told) return;
    this.#told = true;
    this.destroyed = true;
    this.#unsent = [];
    for (const done of this.#flushed.splice(0)) done();
    this.emit("close");
    this.#listeners.clear();
  }

  pause(): void {
    this.#paused = true;
    this.#socket.pause();
  }

  resume(): void {
    this.#paused = false;
    if (!this.destroyed) this.#socket.resume();
  }

  isPaused(): boolean {
    return this.#paused;
  }
}

const nothing = new Uint8Array(0);
