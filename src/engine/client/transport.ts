/**
 * Carries calls to one daemon: API version, headers, errors, and reuse of a connection. The calls themselves
 * are in `containers.ts`, `images.ts`, … and grouped by `client.ts`.
 */
import { CortenError, type ErrorCode, isCode } from "../../base/errors.ts";
import { span, traceparent } from "../../base/trace.ts";
import type { ErrorResponse } from "../types.ts";
import { versionLess } from "../version.ts";
import { type Body, type HttpResponse, readResponse, sendRequest } from "./http.ts";
import { Connection, type Endpoint } from "./socket.ts";
import { readAll } from "./streams.ts";

export type QueryValue = string | number | boolean | readonly string[] | undefined;
export type Query = Record<string, QueryValue>;
/** `--filter` as the API wants it: `{"name":{"value":true}}`. */
export type Filters = Record<string, readonly string[]>;

export interface CallOptions {
  query?: Query;
  headers?: Record<string, string>;
  /** Sent as JSON. */
  json?: unknown;
  /** Sent as it is. */
  body?: Body;
  /** False for paths outside the versions, such as `/_ping`. */
  versioned?: boolean;
  signal?: AbortSignal;
}

export interface Answer {
  status: number;
  headers: Map<string, string>;
  body: AsyncIterable<Uint8Array>;
}

/** A connection that has become a two-way byte stream. */
export interface HijackedStream {
  /** Of the answer: tells `application/vnd.docker.multiplexed-stream` from raw. */
  mediaType: string;
  output: AsyncIterable<Uint8Array>;
  write(bytes: Uint8Array): Promise<void>;
  /** The end of stdin; output goes on. */
  end(): Promise<void>;
  close(): void;
}

export interface TransportOptions {
  endpoint: Endpoint;
  /** What to name in messages: `unix:///run/corten/corten.sock`. */
  hostName: string;
  headers?: Record<string, string>;
  /** How to open the stream, if not by `endpoint` (an ssh context). */
  dial?: () => Promise<Connection>;
}

export class Transport {
  readonly #options: TransportOptions;
  /** Set by negotiation (`client.negotiate`) or by DOCKER_API_VERSION. */
  apiVersion: string;
  /** Nobody was asked for `apiVersion`; the first answer tells. */
  #assumed = false;
  #server = "";
  #idle: Connection | undefined;

  constructor(options: TransportOptions, apiVersion: string) {
    this.#options = options;
    this.apiVersion = apiVersion;
  }

  get hostName(): string {
    return this.#options.hostName;
  }

  /** Uses this version until the daemon refuses it. */
  assume(version: string): void {
    this.apiVersion = version;
    this.#assumed = true;
  }

  /** True once an answer has come from our own daemon, which knows more than the API says. */
  get corten(): boolean {
    return this.#server.startsWith("Corten/");
  }

  /** Has a connection ready for the next call. */
  async open(): Promise<void> {
    this.#idle ??= await this.#connect();
  }

  /** One call whose success is in 200–399; anything else is thrown with the daemon's own message. */
  call(method: string, path: string, options: CallOptions = {}): Promise<Answer> {
    return span("cli", `${method} ${path}`, async () => {
      const { connection, response } = await this.#exchange(method, path, options, {});
      if (response.status >= 400) {
        const error = await daemonError(response, method, path);
        connection.close();
        throw error;
      }
      return {
        status: response.status,
        headers: response.headers,
        body: this.#releasing(connection, response, options.signal),
      };
    });
  }

  /** A call with a JSON answer. */
  async json<T>(method: string, path: string, options: CallOptions = {}): Promise<T> {
    return JSON.parse((await this.raw(method, path, options)).toString()) as T;
  }

  /** A call whose whole answer is wanted as bytes. */
  async raw(method: string, path: string, options: CallOptions = {}): Promise<Buffer> {
    return readAll((await this.call(method, path, options)).body);
  }

  /** A call whose answer has nothing to say; resolves to the status. */
  async run(method: string, path: string, options: CallOptions = {}): Promise<number> {
    const answer = await this.call(method, path, options);
    await readAll(answer.body);
    return answer.status;
  }

  /** Asks to turn the connection into a stream (attach, exec start). */
  hijack(path: string, options: CallOptions = {}): Promise<HijackedStream> {
    return span("cli", `POST ${path}`, async () => {
      const upgrade = { Connection: "Upgrade", Upgrade: "tcp" };
      const { connection, response } = await this.#exchange("POST", path, options, upgrade);
      if (!response.raw) {
        const error = await daemonError(response, "POST", path);
        connection.close();
        throw error;
      }
      return {
        mediaType: response.headers.get("content-type") ?? "",
        output: stream(connection),
        write: (bytes: Uint8Array) => connection.write(bytes),
        end: () => connection.end(),
        close: () => connection.close(),
      };
    });
  }

  /** Sends and gets an answer; a version that was assumed and is refused is replaced, and the call made again. */
  async #exchange(
    method: string,
    path: string,
    options: CallOptions,
    upgrade: Record<string, string>,
  ): Promise<{ connection: Connection; response: HttpResponse }> {
    const exchanged = await this.#exchangeOnce(method, path, options, upgrade);
    const { headers, status } = exchanged.response;
    this.#server = headers.get("server") ?? this.#server;
    if (!this.#assumed) return exchanged;
    this.#assumed = false;
    const theirs = headers.get("api-version");
    if (status !== 400 || !theirs || !versionLess(theirs, this.apiVersion)) return exchanged;
    exchanged.connection.close();
    this.apiVersion = theirs;
    return this.#exchangeOnce(method, path, options, upgrade);
  }

  async #exchangeOnce(
    method: string,
    path: string,
    options: CallOptions,
    upgrade: Record<string, string>,
  ): Promise<{ connection: Connection; response: HttpResponse }> {
    const target = (options.versioned === false ? "" : `/v${this.apiVersion}`) + path + search(options.query);
    const headers: Record<string, string> = { "User-Agent": "Corten-Client", ...this.#options.headers };
    const parent = traceparent();
    if (parent) headers["traceparent"] = parent;
    if (options.json !== undefined) headers["Content-Type"] = "application/json";
    Object.assign(headers, upgrade, options.headers);
    const body = options.json === undefined ? options.body : JSON.stringify(options.json);
    const connection = await this.#connect();
    const onAbort = () => connection.close();
    options.signal?.addEventListener("abort", onAbort, { once: true });
    try {
      const sent = sendRequest(connection, {
        method,
        target,
        host: this.#options.endpoint.kind === "tcp" ? this.#options.endpoint.host : "api.moby.localhost",
        headers,
        ...(body === undefined ? {} : { body }),
      });
      // A daemon may refuse before it has read the whole body: its answer says more than our broken pipe.
      const [, answered] = await Promise.allSettled([
        sent.catch((error) => {
          if (isCode(error, "unavailable")) return;
          connection.close();
          throw error;
        }),
        readResponse(connection, method, "Upgrade" in upgrade),
      ]);
      await sent.catch((error) => {
        if (answered.status === "rejected" || !isCode(error, "unavailable")) throw error;
      });
      if (answered.status === "rejected") throw answered.reason;
      return { connection, response: answered.value };
    } catch (error) {
      connection.close();
      options.signal?.removeEventListener("abort", onAbort);
      if (options.signal?.aborted) throw new CortenError("canceled", "context canceled");
      const reason = isCode(error, "unavailable") ? (error as Error).message : "";
      if (reason === "EOF" || reason.startsWith("remote error: "))
        throw new CortenError(
          "unavailable",
          `error during connect: ${method} "${this.#options.hostName}${target}": ${reason}${reason === "EOF" ? tlsHint(this.#options.endpoint) : ""}`,
          { cause: error },
        );
      throw error;
    }
  }

  async #connect(): Promise<Connection> {
    const idle = this.#idle;
    this.#idle = undefined;
    if (idle?.idle) return idle;
    idle?.close();
    if (this.#options.dial) return this.#options.dial();
    try {
      return await Connection.dial(this.#options.endpoint);
    } catch (error) {
      throw connectError(this.#options, error);
    }
  }

  /** Hands the body on and keeps the connection for the next call once it has been read to the end. */
  async *#releasing(
    connection: Connection,
    response: HttpResponse,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Uint8Array> {
    let complete = false;
    try {
      yield* response.body;
      complete = true;
    } catch (error) {
      if (signal?.aborted) return;
      throw error;
    } finally {
      const framed = response.headers.has("content-length") || response.headers.has("transfer-encoding");
      const bare = response.status === 204 || response.status === 304;
      const closing = response.headers.get("connection")?.toLowerCase() === "close";
      if (complete && (framed || bare) && !closing && connection.idle && !this.#idle) this.#idle = connection;
      else connection.close();
    }
  }

  close(): void {
    this.#idle?.close();
    this.#idle = undefined;
  }
}

async function* stream(connection: Connection): AsyncGenerator<Uint8Array> {
  for (let chunk = await connection.read(); chunk; chunk = await connection.read()) yield chunk;
}

/** `?a=1&b=x`; keys sorted as Go's url.Values does, undefined left out, booleans as 1 and 0. */
export function search(query: Query | undefined): string {
  if (!query) return "";
  const parts: string[] = [];
  for (const key of Object.keys(query).sort()) {
    const value = query[key];
    if (value === undefined) continue;
    for (const one of Array.isArray(value)
      ? (value as readonly string[])
      : [value as string | number | boolean])
      parts.push(`${key}=${escapeQuery(one === true ? "1" : one === false ? "0" : String(one))}`);
  }
  return parts.length > 0 ? `?${parts.join("&")}` : "";
}

const escapeQuery = (text: string) =>
  encodeURIComponent(text)
    .replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll("%20", "+");

/** The `filters` parameter, or undefined when there are none. */
export function encodeFilters(filters: Filters | undefined): string | undefined {
  if (!filters || Object.keys(filters).length === 0) return undefined;
  const sorted: Record<string, Record<string, boolean>> = {};
  for (const key of Object.keys(filters).sort())
    sorted[key] = Object.fromEntries([...(filters[key] ?? [])].sort().map((value) => [value, true]));
  return JSON.stringify(sorted);
}

const codeOfStatus: Record<number, ErrorCode> = {
  304: "not_modified",
  400: "invalid_argument",
  401: "unauthenticated",
  403: "permission_denied",
  404: "not_found",
  409: "failed_precondition",
  501: "unimplemented",
  503: "unavailable",
};

async function daemonError(response: HttpResponse, method: string, path: string): Promise<CortenError> {
  const text = (await readAll(response.body, 1024 * 1024)).toString().trim();
  const code = codeOfStatus[response.status] ?? (response.status >= 500 ? "internal" : "unknown");
  let message = text;
  if (response.headers.get("content-type")?.startsWith("application/json")) {
    try {
      message = (JSON.parse(text) as ErrorResponse).message.trim();
    } catch {
      // A proxy's or broken daemon's answer: its text is all there is.
    }
  }
  if (message === "")
    return new CortenError(
      code,
      `request returned ${response.status} ${response.reason} for API route and version ${method} ${path}`,
    );
  return new CortenError(code, `Error response from daemon: ${message}`);
}

/** A daemon that wants a certificate ends the connection of a client that has none. */
const tlsHint = (endpoint: Endpoint): string =>
  endpoint.kind === "tcp" && endpoint.tls
    ? ` (the daemon may refuse our TLS certificate${endpoint.tls.cert === undefined ? ": none was given" : ""})`
    : "";

/** A daemon that cannot be reached, in the words docker has for it. */
function connectError(options: TransportOptions, error: unknown): CortenError {
  const reason = (error as Error).message;
  const { hostName } = options;
  if (reason.startsWith("tls: "))
    return new CortenError("unavailable", `error during connect: ${hostName}: ${reason}`, { cause: error });
  const message =
    reason === "permission denied"
      ? `permission denied while trying to connect to the Docker daemon socket at ${hostName}`
      : `Cannot connect to the Docker daemon at ${hostName}. Is the docker daemon running?`;
  return new CortenError("unavailable", message, { cause: error });
}
