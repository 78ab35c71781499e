/**
 * One HTTP exchange on the runtime's `fetch`, and nothing above it: TLS settings, a limit on silence, errors
 * without secrets. The only file here that uses Bun's additions to `fetch` (`tls`, `timeout`).
 */
import { CortenError, messageOf } from "../base/errors.ts";
import type { TlsOptions } from "./types.ts";

export interface HttpRequest {
  method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
  url: URL;
  headers: Record<string, string>;
  /** Called for each attempt; a stream is sent with the given content-length. */
  body?: (() => AsyncIterable<Uint8Array>) | Uint8Array | string;
  tls?: TlsOptions;
  signal?: AbortSignal;
}

/** How long a server may stay silent before the connection counts as broken. */
const silenceLimit = 60_000;

/** Sends one request; redirects are answers like any other. Fails with `unavailable` when there is no answer. */
export async function exchange(request: HttpRequest): Promise<Response> {
  const silence = new AbortController();
  const timer = setTimeout(() => silence.abort(), silenceLimit);
  const restart = () => timer.refresh();
  const { body } = request;
  const init: BunFetchRequestInit & { duplex?: "half" } = {
    method: request.method,
    headers: { "accept-encoding": "identity", ...request.headers },
    redirect: "manual",
    timeout: false,
    signal: request.signal ? AbortSignal.any([request.signal, silence.signal]) : silence.signal,
  } as BunFetchRequestInit;
  if (request.tls) init.tls = tlsOf(request.tls);
  if (typeof body === "function") {
    init.body = streamOf(body(), restart);
    init.duplex = "half";
  } else if (body !== undefined) init.body = body as Uint8Array<ArrayBuffer> | string;
  try {
    return await fetch(request.url, init);
  } catch (error) {
    throw brokenConnection(request, silence.signal.aborted ? "no answer within 60 s" : error);
  } finally {
    clearTimeout(timer);
  }
}

/** The body of an answer, chunk by chunk; a server that falls silent ends it with an error. */
export async function* bodyOf(request: HttpRequest, response: Response): AsyncGenerator<Uint8Array> {
  const reader = response.body?.getReader();
  if (!reader) return;
  let timer: NodeJS.Timeout | undefined;
  let silent = false;
  try {
    timer = setTimeout(() => {
      silent = true;
      void reader.cancel().catch(() => {});
    }, silenceLimit);
    for (;;) {
      const next = await reader.read();
      if (silent) throw brokenConnection(request, "the server fell silent for 60 s");
      if (next.done) return;
      timer.refresh();
      yield next.value as Uint8Array;
    }
  } catch (error) {
    if (error instanceof CortenError) throw error;
    throw brokenConnection(request, error);
  } finally {
    clearTimeout(timer);
    void reader.cancel().catch(() => {});
  }
}

/** Reads a whole body of at most `limit` bytes. */
export async function readBody(request: HttpRequest, response: Response, limit: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of bodyOf(request, response)) {
    size += chunk.length;
    if (size > limit)
      throw new CortenError(
        "resource_exhausted",
        `${describe(request)}: answer is larger than ${limit} bytes`,
      );
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** Ends an answer whose body is not wanted, so that its connection is free again. */
export async function discard(response: Response): Promise<void> {
  await response.body?.cancel().catch(() => {});
}

/** `Get "https://host/path"`, as Go's client begins its errors; the query may hold a signature and is left out. */
export function describe(request: { method: string; url: URL }): string {
  const method = request.method[0] + request.method.slice(1).toLowerCase();
  return `${method} "${request.url.origin}${request.url.pathname}"`;
}

function brokenConnection(request: HttpRequest, reason: unknown): CortenError {
  if (request.signal?.aborted)
    return new CortenError("canceled", `${describe(request)}: canceled`, { cause: request.signal.reason });
  const text = typeof reason === "string" ? reason : reasonOf(reason);
  return new CortenError("unavailable", `${describe(request)}: ${text}`, {
    cause: typeof reason === "string" ? undefined : reason,
  });
}

/** The runtime's texts name the URL or advise on its flags; these say what happened. */
const reasons: Record<string, string> = {
  ConnectionRefused: "connection refused",
  ECONNREFUSED: "connection refused",
  ConnectionClosed: "connection closed",
  ECONNRESET: "connection reset by peer",
  FailedToOpenSocket: "cannot connect (is the name right?)",
};

function reasonOf(error: unknown): string {
  const code = (error as { code?: unknown } | undefined)?.code;
  if (typeof code === "string") return reasons[code] ?? `${code}: ${withoutQuery(messageOf(error))}`;
  return withoutQuery(messageOf(error));
}

const withoutQuery = (text: string): string => text.replace(/\?[^\s"']*/g, "");

function tlsOf(options: TlsOptions): NonNullable<BunFetchRequestInit["tls"]> {
  const tls: Record<string, unknown> = {};
  if (options.ca !== undefined) tls["ca"] = options.ca;
  if (options.cert !== undefined) tls["cert"] = options.cert;
  if (options.key !== undefined) tls["key"] = options.key;
  if (options.insecureSkipVerify) tls["rejectUnauthorized"] = false;
  return tls as NonNullable<BunFetchRequestInit["tls"]>;
}

function streamOf(source: AsyncIterable<Uint8Array>, onChunk: () => void): ReadableStream<Uint8Array> {
  const iterator = source[Symbol.asyncIterator]();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const next = await iterator.next();
        onChunk();
        if (next.done) controller.close();
        else controller.enqueue(next.value);
      },
      async cancel() {
        await iterator.return?.();
      },
    },
    { highWaterMark: 0 },
  );
}
