/** Calls over gRPC on a unix socket; the only file of the client that loads connect and http2. */
import { connect } from "node:net";
import type {
  DescMessage,
  DescMethod,
  DescMethodStreaming,
  DescMethodUnary,
  Message,
} from "@bufbuild/protobuf";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { asCortenError, CortenError } from "../../base/errors.ts";
import { errorCodes } from "../../base/status.ts";
import { type Caller, type CallOptions, isStream } from "./call.ts";

export class RemoteCaller implements Caller {
  readonly #sessions: Http2SessionManager;
  readonly #transport: Transport;
  readonly #socketPath: string;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
    this.#sessions = new Http2SessionManager(
      "http://localhost",
      {},
      { createConnection: () => connect(socketPath) },
    );
    this.#transport = createGrpcTransport({
      baseUrl: "http://localhost",
      sessionManager: this.#sessions,
      // Local calls: compressing them would only cost time.
      acceptCompression: [],
    });
  }

  async unary(method: DescMethod, input: Message, headers: Headers, options: CallOptions): Promise<Message> {
    try {
      const response = await this.#transport.unary(
        method as DescMethodUnary<DescMessage, DescMessage>,
        options.signal,
        options.timeoutMs,
        headers,
        input,
      );
      return response.message;
    } catch (error) {
      throw this.#error(error);
    }
  }

  stream(
    method: DescMethod,
    input: Message | AsyncIterable<Message>,
    headers: Headers,
    options: CallOptions,
  ): AsyncIterable<Message> {
    const start = this.#transport.stream(
      method as DescMethodStreaming<DescMessage, DescMessage>,
      options.signal,
      options.timeoutMs,
      headers,
      isStream(input) ? input : one(input),
    );
    // Heard before anyone iterates: an early failure must not count as unhandled.
    start.catch(() => {});
    const convert = (error: unknown) => this.#error(error);
    const run = async function* (): AsyncGenerator<Message> {
      try {
        for await (const message of (await start).message) yield message;
      } catch (error) {
        throw convert(error);
      }
    };
    return run();
  }

  close(): void {
    this.#sessions.abort();
  }

  #error(error: unknown): CortenError {
    const cause = ConnectError.from(error);
    const code = errorCodes.get(cause.code) ?? "unknown";
    if (cause.code === Code.Unavailable || /ENOENT|ECONNREFUSED/.test(cause.rawMessage))
      return new CortenError("unavailable", `containerd at ${this.#socketPath}: ${cause.rawMessage}`, {
        cause,
      });
    if (error instanceof CortenError) return asCortenError(error);
    return new CortenError(code, cause.rawMessage, { cause });
  }
}

async function* one(message: Message): AsyncGenerator<Message> {
  yield message;
}
