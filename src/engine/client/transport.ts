/**
 * Carries calls to one daemon: API version, headers, errors, and reuse of a connection. The calls themselves
 * are in `containers.ts`, `images.ts`, … and grouped by `client.ts`.
 */
import { CortenError, type ErrorCode, isCode } from "../../base/errors.ts";
import { span, traceparent } from "../../base/trace.ts";
import type { ErrorResponse } from "../types.ts";
import { versionLess } from "../version.ts";
import { type Body, type HttpRequest, type HttpResponse, readResponse, sendRequest } from "./http.ts";
import { type ByteStream, Connection, type Endpoint } from "./socket.ts";
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
  body: ByteStream;
}

/** A connection that has become a two-way byte stream. */
export interface HijackedStream {
  /** Of the answer: tells `application/vnd.docker.multiplexed-stream` from raw. */
  mediaType: string;
  output: ByteStream;
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

interface Exchanged {
  connection: Connection;
  response: HttpResponse;
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
    return span("cli", `${method} ${path}`, () => this.#call(method, path, options));
  }

  async #call(method: string, path: string, options: CallOptions): Promise<Answer> {
    const { connection, response } = await this.#exchange(method, path, options, undefined);
    if (response.status >= 400) {
      const error = await daemonError(response, method, path);
      connection.close();
      throw error;
    }
    const { body, headers } = response;
    const closing = headers.get("connection")?.toLowerCase() === "close";
    // Keeps the connection for the next call once the body has been read to the end.
    body.onEnd = (reusable) => {
      if (reusable && !closing && connection.idle && !this.#idle) this.#idle = connection;
      else connection.close();
    };
    body.signal = options.signal;
    return { status: response.status, headers, body };
  }

  /** A call with a JSON answer. */
  json<T>(method: string, path: string, options: CallOptions = {}): Promise<T> {
    return this.raw(method, path, options).then(parseJson) as Promise<T>;
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
    return span("cli", `POST ${path}`, () => this.#hijack(path, options));
  }

  async #hijack(path: string, options: CallOptions): Promise<HijackedStream> {
    const upgrade = { Connection: "Upgrade", Upgrade: "tcp" };
    const { connection, response } = await this.#exchange("POST", path, options, upgrade);
    if (!response.raw) {
      const error = await daemonError(response, "POST", path);
      connection.close();
      throw error;
    }
    return {
      mediaType: response.headers.get("content-type") ?? "",
      output: connection,
      write: (bytes: Uint8Array) => connection.write(bytes),
      end: () => connection.end(),
      close: () => connection.close(),
    };
  }

  /** Sends and gets an answer; a version that was assumed and is refused is replaced, and the call made again. */
  async #exchange(
    method: string,
    path: string,
    options: CallOptions,
    upgrade: Record<string, string> | undefined,
  ): Promise<Exchanged> {
    const headers: Record<string, string> = { "User-Agent": "Corten-Client", ...this.#options.headers };
    const parent = traceparent();
    if (parent) headers["traceparent"] = parent;
    if (options.json !== undefined) headers["Content-Type"] = "application/json";
    Object.assign(headers, upgrade, options.headers);
    const { endpoint } = this.#options;
    const request: HttpRequest = {
      method,
      target: "",
      host: endpoint.kind === "tcp" ? endpoint.host : "api.moby.localhost",
      headers,
      body: options.json === undefined ? options.body : JSON.stringify(options.json),
    };
    for (;;) {
      request.target =
        (options.versioned === false ? "" : `/v${this.apiVersion}`) + path + search(options.query);
      const connection = await this.#connect();
      // Stays for the body: who aborts wants no more of it.
      const onAbort = () => connection.close();
      options.signal?.addEventListener("abort", onAbort, { once: true });
      let response: HttpResponse;
      try {
        const sent = sendRequest(connection, request);
        const answered = readResponse(connection, method, upgrade !== undefined);
        response = await (sent ? answerWhileSending(connection, sent, answered) : answered);
      } catch (error) {
        connection.close();
        options.signal?.removeEventListener("abort", onAbort);
        throw this.#explained(error, request, options.signal);
      }
      const { status } = response;
      this.#server = response.headers.get("server") ?? this.#server;
      if (!this.#assumed) return { connection, response };
      this.#assumed = false;
      const theirs = response.headers.get("api-version");
      if (status !== 400 || !theirs || !versionLess(theirs, this.apiVersion)) return { connection, response };
      connection.close();
      this.apiVersion = theirs;
    }
  }

  /** What the user is told about a call that failed without an answer. */
  #explained(error: unknown, request: HttpRequest, signal: AbortSignal | undefined): unknown {
    if (signal?.aborted) return new CortenError("canceled", "context canceled");
    const reason = isCode(error, "unavailable") ? (error as Error).message : "";
    if (reason !== "EOF" && !reason.startsWith("remote error: ")) return error;
    const { endpoint, hostName } = this.#options;
    return new CortenError(
      "unavailable",
      `error during connect: ${request.method} "${hostName}${request.target}": ${reason}${reason === "EOF" ? tlsHint(endpoint) : ""}`,
      { cause: error },
    );
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

  close(): void {
    this.#idle?.close();
    this.#idle = undefined;
  }
}

const parseJson = (text: Buffer): unknown => JSON.parse(text.toString());

/** A daemon may refuse before it has read the whole body: its answer says more than our broken pipe. */
async function answerWhileSending(
  connection: Connection,
  sent: Promise<void>,
  answered: Promise<HttpResponse>,
): Promise<HttpResponse> {
  const sending = sent.catch((error) => {
    if (isCode(error, "unavailable")) return;
    connection.close();
    throw error;
  });
  const [, answer] = await Promise.allSettled([sending, answered]);
  await sent.catch((error) => {
    if (answer.status === "rejected" || !isCode(error, "unavailable")) throw error;
  });
  if (answer.status === "rejected") throw answer.reason;
  return answer.value;
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
