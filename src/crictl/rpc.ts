/** gRPC to a CRI server on a unix socket; the only file that loads connect and http2, and only once a verb calls. */
import { connect as connectSocket } from "node:net";
import type { DescService } from "@bufbuild/protobuf";
import { type CallOptions, type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { RpcError } from "./errors.ts";

export class Connection<S extends DescService> {
  readonly client: Client<S>;
  readonly #sessions: Http2SessionManager;
  readonly #signal: AbortSignal;
  readonly #socketPath: string;

  constructor(service: S, socketPath: string, signal: AbortSignal) {
    this.#signal = signal;
    this.#socketPath = socketPath;
    this.#sessions = new Http2SessionManager(
      "http://localhost",
      {},
      { createConnection: () => connectSocket(socketPath) },
    );
    this.client = createClient(
      service,
      createGrpcTransport({
        baseUrl: "http://localhost",
        sessionManager: this.#sessions,
        // The same machine: compressing would only cost time.
        acceptCompression: [],
      }),
    );
  }

  /** One call; without `milliseconds` it may take as long as it wants. */
  async call<T>(
    milliseconds: number | undefined,
    work: (client: Client<S>, options: CallOptions) => Promise<T>,
  ): Promise<T> {
    try {
      return await work(this.client, {
        signal: this.#signal,
        ...(milliseconds === undefined ? {} : { timeoutMs: milliseconds }),
      });
    } catch (error) {
      throw this.#error(error);
    }
  }

  /** The messages of a stream. */
  async *stream<T>(work: (client: Client<S>, options: CallOptions) => AsyncIterable<T>): AsyncGenerator<T> {
    try {
      yield* work(this.client, { signal: this.#signal });
    } catch (error) {
      throw this.#error(error);
    }
  }

  close(): void {
    this.#sessions.abort();
  }

  #error(error: unknown): Error {
    if (this.#signal.aborted) return new Error("interrupted: context canceled");
    const cause = ConnectError.from(error);
    const errno = /\b(ENOENT|ECONNREFUSED|EACCES|ENOTSOCK)\b/.exec(
      `${cause.rawMessage} ${String(cause.cause)}`,
    )?.[1];
    if (errno)
      return new RpcError(
        "Unavailable",
        `connection error: desc = "transport: Error while dialing: dial unix ${this.#socketPath}: connect: ${dialErrors[errno]}"`,
        { cause },
      );
    if (cause.code === Code.DeadlineExceeded)
      return new RpcError("DeadlineExceeded", "context deadline exceeded", { cause });
    return new RpcError(codeName(cause.code), cause.rawMessage, { cause });
  }
}

const dialErrors: Record<string, string> = {
  ENOENT: "no such file or directory",
  ECONNREFUSED: "connection refused",
  EACCES: "permission denied",
  ENOTSOCK: "socket operation on non-socket",
};

/** Go writes its codes as one word; two of them are spelled as no enum here is. */
const codeName = (code: Code) => Code[code] ?? "Unknown";
