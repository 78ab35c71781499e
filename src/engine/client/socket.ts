/**
 * A byte stream to a daemon. The one file of this folder that uses Bun's own sockets: `node:net` costs
 * 10 ms to load, more than all the rest of a command, and start-up is a feature.
 */
import { CortenError, messageOf } from "../../base/errors.ts";

export interface TlsOptions {
  ca?: string;
  cert?: string;
  key?: string;
  serverName?: string;
  /** False encrypts without checking who answers (`--tls` without `--tlsverify`). */
  verify: boolean;
}

interface TcpEndpoint {
  kind: "tcp";
  host: string;
  port: number;
  tls?: TlsOptions;
}

export type Endpoint = { kind: "unix"; path: string } | TcpEndpoint;

/** Bytes as they come: by `read`, or by `for await`, whose first use costs a command 0.1 ms more. */
export interface ByteStream extends AsyncIterable<Uint8Array> {
  /** The next bytes, or undefined at the end. One reader at a time. */
  read(): Promise<Buffer | undefined>;
}

/** Reading stops above this many unread bytes, so that a slow reader slows the sender. */
const highWater = 256 * 1024;

const encoder = new TextEncoder();

export class Connection implements ByteStream {
  #socket: Bun.Socket<unknown> | undefined;
  readonly #chunks: Buffer[] = [];
  #queued = 0;
  #paused = false;
  #ended = false;
  #error: Error | undefined;
  #wakeReader: (() => void) | undefined;
  #wakeWriter: (() => void) | undefined;
  /** What is written to a kernel that took no more; undefined when nothing waits. */
  #writing: Promise<void> | undefined;
  /** Of TLS: undefined without it. */
  #handshaken: PromiseWithResolvers<void> | undefined;

  static async dial(endpoint: Endpoint): Promise<Connection> {
    const connection = new Connection();
    const socket: Bun.SocketHandler<unknown> = {
      data: (_, bytes) => connection.#onData(bytes),
      drain: () => connection.#onDrain(),
      end: () => connection.#onEnd(),
      close: (_, error) => connection.#onEnd(error ?? undefined),
      error: (_, error) => connection.#onEnd(error),
      connectError: () => {},
    };
    try {
      connection.#socket =
        endpoint.kind === "unix"
          ? await Bun.connect({ unix: endpoint.path, allowHalfOpen: true, socket })
          : await connection.#dialTcp(endpoint, socket);
    } catch (error) {
      connection.close();
      const errno = (error as NodeJS.ErrnoException).code ?? "";
      throw new CortenError("unavailable", reasonOf(errno) ?? messageOf(error), { cause: error });
    }
    return connection;
  }

  async #dialTcp(
    { host: hostname, port, tls }: TcpEndpoint,
    socket: Bun.SocketHandler<unknown>,
  ): Promise<Bun.Socket<unknown>> {
    if (!tls) return Bun.connect({ hostname, port, allowHalfOpen: true, socket });
    const handshaken = Promise.withResolvers<void>();
    handshaken.promise.catch(() => {});
    this.#handshaken = handshaken;
    const dialed = await Bun.connect({
      hostname,
      port,
      allowHalfOpen: true,
      socket: {
        ...socket,
        handshake: (_, ok, error) => {
          if (!tls.verify || (ok && !error)) handshaken.resolve();
          else
            handshaken.reject(
              new Error(
                error ? `tls: failed to verify certificate: ${error.message}` : "tls: handshake failure",
              ),
            );
        },
      },
      tls: {
        ...(tls.ca === undefined ? {} : { ca: tls.ca }),
        ...(tls.cert === undefined ? {} : { cert: tls.cert }),
        ...(tls.key === undefined ? {} : { key: tls.key }),
        serverName: tls.serverName ?? hostname,
        rejectUnauthorized: tls.verify,
      },
    });
    // Known before the handshake, for `close` to find it should that fail.
    this.#socket = dialed;
    await handshaken.promise;
    return dialed;
  }

  #onData(bytes: Buffer): void {
    this.#chunks.push(bytes);
    this.#queued += bytes.length;
    if (this.#queued > highWater && !this.#paused) {
      this.#paused = true;
      this.#socket?.pause();
    }
    this.#wakeReader?.();
  }

  #onDrain(): void {
    this.#wakeWriter?.();
  }

  #onEnd(error?: Error): void {
    this.#ended = true;
    if (error) this.#error ??= alertOf(error) ?? error;
    this.#handshaken?.reject(error ?? new Error("connection closed during the TLS handshake"));
    this.#wakeReader?.();
    this.#wakeWriter?.();
  }

  /** True when nothing is waiting to be read and the other side has not closed: fit for another request. */
  get idle(): boolean {
    return !this.#ended && this.#chunks.length === 0;
  }

  async read(): Promise<Buffer | undefined> {
    while (this.#chunks.length === 0) {
      if (this.#error) throw new CortenError("unavailable", this.#error.message, { cause: this.#error });
      if (this.#ended) return undefined;
      // Not `new Promise`, whose first use costs 0.1 ms more.
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wakeReader = resolve;
      await promise;
      this.#wakeReader = undefined;
    }
    const chunk = this.#chunks.shift()!;
    this.#queued -= chunk.length;
    if (this.#paused && this.#queued < highWater / 2) {
      this.#paused = false;
      this.#socket?.resume();
    }
    return chunk;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (let chunk = await this.read(); chunk; chunk = await this.read()) yield chunk;
  }

  /** Puts bytes back that belong to the next reader. */
  unread(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#chunks.unshift(bytes);
    this.#queued += bytes.length;
  }

  /** Resolves when the kernel has taken all of it; writes keep their order. */
  write(data: Uint8Array | string): Promise<void> {
    return this.send(data) ?? Promise.resolve();
  }

  /** As `write`; undefined when the kernel has taken it at once. */
  send(data: Uint8Array | string): Promise<void> | undefined {
    const bytes = typeof data === "string" ? encoder.encode(data) : data;
    let rest = bytes;
    if (!this.#writing && !this.#error && !this.#ended && this.#socket) {
      const taken = this.#socket.write(bytes);
      if (taken === bytes.length) return undefined;
      if (taken > 0) rest = bytes.subarray(taken);
    }
    const done = this.#sendAfter(this.#writing, rest);
    const quiet = done.catch(() => {});
    this.#writing = quiet;
    void quiet.then(() => {
      if (this.#writing === quiet) this.#writing = undefined;
    });
    return done;
  }

  async #sendAfter(before: Promise<void> | undefined, bytes: Uint8Array): Promise<void> {
    await before;
    let offset = 0;
    while (offset < bytes.length) {
      if (this.#error) throw new CortenError("unavailable", this.#error.message, { cause: this.#error });
      const socket = this.#socket;
      const taken = socket ? socket.write(offset === 0 ? bytes : bytes.subarray(offset)) : -1;
      if (taken < 0 || (this.#ended && taken === 0))
        throw new CortenError("unavailable", "the connection is closed");
      offset += taken;
      if (offset < bytes.length) {
        await new Promise<void>((wake) => {
          this.#wakeWriter = wake;
        });
        this.#wakeWriter = undefined;
      }
    }
  }

  /** Sends FIN after what was written; reading goes on. */
  async end(): Promise<void> {
    await this.#writing;
    this.#socket?.shutdown();
  }

  close(): void {
    this.#socket?.terminate();
    this.#socket = undefined;
    this.#onEnd();
  }

  /** Lets the process end although this connection is open. */
  unref(): void {
    this.#socket?.unref();
  }
}

/** The daemon's TLS alert in words; undefined for other errors. */
function alertOf(error: Error): Error | undefined {
  const alert = /SSL routines:.*:(?:TLSV1|SSLV3)_ALERT_(\w+)$/.exec(error.message)?.[1];
  if (alert === undefined) return undefined;
  return new Error(`remote error: tls: ${alert.toLowerCase().replaceAll("_", " ")}`, { cause: error });
}

/** The kernel's words for the errors a connect meets, as strerror gives them. */
function reasonOf(errno: string): string | undefined {
  const reasons: Record<string, string> = {
    ENOENT: "no such file or directory",
    ECONNREFUSED: "connection refused",
    EACCES: "permission denied",
    EPERM: "operation not permitted",
    ENOTSOCK: "socket operation on non-socket",
    ECONNRESET: "connection reset by peer",
    ETIMEDOUT: "connection timed out",
    EHOSTUNREACH: "no route to host",
    ENETUNREACH: "network is unreachable",
  };
  return reasons[errno];
}
