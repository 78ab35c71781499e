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

export type Endpoint =
  | { kind: "unix"; path: string }
  | { kind: "tcp"; host: string; port: number; tls?: TlsOptions };

/** Reading stops above this many unread bytes, so that a slow reader slows the sender. */
const highWater = 256 * 1024;

const encoder = new TextEncoder();

export class Connection {
  #socket: Bun.Socket<unknown> | undefined;
  #chunks: Uint8Array[] = [];
  #queued = 0;
  #paused = false;
  #ended = false;
  #error: Error | undefined;
  #wakeReader: (() => void) | undefined;
  #wakeWriter: (() => void) | undefined;
  #writing: Promise<void> = Promise.resolve();

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
      if (endpoint.kind === "unix") {
        connection.#socket = await Bun.connect({ unix: endpoint.path, allowHalfOpen: true, socket });
      } else {
        const { host: hostname, port, tls } = endpoint;
        const secure = tls && {
          ...(tls.ca === undefined ? {} : { ca: tls.ca }),
          ...(tls.cert === undefined ? {} : { cert: tls.cert }),
          ...(tls.key === undefined ? {} : { key: tls.key }),
          serverName: tls.serverName ?? hostname,
          rejectUnauthorized: tls.verify,
        };
        connection.#socket = await Bun.connect({
          hostname,
          port,
          allowHalfOpen: true,
          socket: secure ? { ...socket, ...connection.#handshakeHandlers(tls.verify) } : socket,
          ...(secure ? { tls: secure } : {}),
        });
        if (secure) await connection.#handshaken.promise;
      }
    } catch (error) {
      connection.close();
      const errno = (error as NodeJS.ErrnoException).code ?? "";
      throw new CortenError("unavailable", reasonOf(errno) ?? messageOf(error), { cause: error });
    }
    return connection;
  }

  readonly #handshaken = Promise.withResolvers<void>();
  #handshakeHandlers(verify: boolean): Pick<Bun.SocketHandler<unknown>, "handshake"> {
    return {
      handshake: (_, ok, error) => {
        if (verify && (!ok || error))
          this.#handshaken.reject(
            new Error(
              error ? `tls: failed to verify certificate: ${error.message}` : "tls: handshake failure",
            ),
          );
        else this.#handshaken.resolve();
      },
    };
  }

  #onData(bytes: Uint8Array): void {
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
    this.#handshaken.promise.catch(() => {});
    this.#handshaken.reject(error ?? new Error("connection closed during the TLS handshake"));
    this.#wakeReader?.();
    this.#wakeWriter?.();
  }

  /** True when nothing is waiting to be read and the other side has not closed: fit for another request. */
  get idle(): boolean {
    return !this.#ended && this.#chunks.length === 0;
  }

  /** The next bytes, or undefined at the end. One reader at a time. */
  async read(): Promise<Uint8Array | undefined> {
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

  /** Puts bytes back that belong to the next reader. */
  unread(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#chunks.unshift(bytes);
    this.#queued += bytes.length;
  }

  /** Resolves when the kernel has taken all of it; writes keep their order. */
  write(data: Uint8Array | string): Promise<void> {
    const bytes = typeof data === "string" ? encoder.encode(data) : data;
    const done = this.#writing.then(() => this.#writeAll(bytes));
    this.#writing = done.catch(() => {});
    return done;
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
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
