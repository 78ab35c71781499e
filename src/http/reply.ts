import type { Connection } from "./connection.ts";
import type { SocketInput } from "./input.ts";
import type { RequestBody, RequestHead } from "./request.ts";

const reasons: Record<number, string> = {
  101: "UPGRADED",
  200: "OK",
  201: "Created",
  204: "No Content",
  304: "Not Modified",
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  409: "Conflict",
  413: "Request Entity Too Large",
  426: "Upgrade Required",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  501: "Not Implemented",
  503: "Service Unavailable",
};

export const reasonOf = (status: number): string => reasons[status] ?? "Status";

const lineBreak = /[\r\n]/;

let date = { second: 0, text: "" };

/** The time for a head, made once a second. */
function dateText(): string {
  const now = Date.now();
  const second = Math.floor(now / 1000);
  if (second !== date.second) date = { second, text: new Date(now).toUTCString() };
  return date.text;
}

export type Headers = Record<string, string>;

/** Writes and waits while the peer is slower than we are; false when it is gone. */
export function writeTo(socket: Connection, data: Uint8Array | string): Promise<boolean> {
  if (socket.destroyed || socket.writableEnded) return Promise.resolve(false);
  if (socket.write(data)) return Promise.resolve(true);
  return new Promise((resolve) => {
    const done = (alive: boolean) => {
      socket.off("drain", drained);
      socket.off("close", gone);
      resolve(alive);
    };
    const drained = () => done(true);
    const gone = () => done(false);
    socket.on("drain", drained);
    socket.on("close", gone);
  });
}

/** A response body of unknown length. */
export interface BodyWriter {
  /** False once the client is gone; waits while it is slow. */
  write(data: Uint8Array | string): Promise<boolean>;
  end(): void;
}

/** The raw connection after a hijack: what comes in is stdin, what goes out is output. */
export interface Hijacked {
  /** The client's next bytes; undefined once it has sent FIN. */
  read(): Promise<Uint8Array | undefined>;
  write(data: Uint8Array): Promise<boolean>;
  /** Sends FIN and lets the connection go. */
  end(): void;
  destroy(): void;
  /** Aborts when the connection is gone in both directions. */
  readonly signal: AbortSignal;
}

/** The answer to one request; exactly one of its sending methods is used. */
export class Reply {
  readonly #socket: Connection;
  readonly #input: SocketInput;
  readonly #request: RequestHead;
  readonly #body: RequestBody;
  readonly #common: Headers = {};
  /** True for a client of a socket in the file system: it is on this machine. */
  readonly local: boolean;
  started = false;
  /** The connection does not serve another request after this one. */
  close: boolean;
  hijacked = false;
  status = 0;

  constructor(
    socket: Connection,
    input: SocketInput,
    request: RequestHead,
    body: RequestBody,
    local: boolean,
  ) {
    this.#socket = socket;
    this.#input = input;
    this.#request = request;
    this.#body = body;
    this.local = local;
    const connection = request.headers.get("connection")?.toLowerCase() ?? "";
    this.close =
      connection.includes("close") || (request.version === "1.0" && !connection.includes("keep-alive"));
  }

  /** Adds a header to whatever is sent. */
  header(name: string, value: string): void {
    this.#common[name] = value;
  }

  #head(status: number, headers: Headers): string {
    this.started = true;
    this.status = status;
    let text = `HTTP/1.1 ${status} ${reasonOf(status)}\r\n`;
    for (const [name, value] of Object.entries({ ...this.#common, ...headers }))
      text += `${name}: ${lineBreak.test(value) ? value.replace(/[\r\n]/g, " ") : value}\r\n`;
    return `${text}Date: ${dateText()}\r\n${this.close ? "Connection: close\r\n" : ""}\r\n`;
  }

  bytes(status: number, type: string, content: Uint8Array | string, headers: Headers = {}): void {
    const body = typeof content === "string" ? Buffer.from(content) : content;
    const head = Buffer.from(
      this.#head(status, { "Content-Type": type, "Content-Length": String(body.length), ...headers }),
    );
    this.#socket.write(this.#request.method === "HEAD" ? head : Buffer.concat([head, body]));
  }

  json(status: number, value: unknown, headers: Headers = {}): void {
    this.bytes(status, "application/json", `${JSON.stringify(value)}\n`, headers);
  }

  text(status: number, content: string): void {
    this.bytes(status, "text/plain; charset=utf-8", content);
  }

  empty(status: number, headers: Headers = {}): void {
    const length: Headers = status === 204 || status === 304 ? {} : { "Content-Length": "0" };
    this.#socket.write(this.#head(status, { ...length, ...headers }));
  }

  /** Sends the headers now and gives a writer for the rest (chunked, or until the end for HTTP/1.0). */
  stream(status: number, type: string | undefined, headers: Headers = {}): BodyWriter {
    const chunked = this.#request.version === "1.1";
    if (!chunked) this.close = true;
    const socket = this.#socket;
    socket.write(
      this.#head(status, {
        ...(type === undefined ? {} : { "Content-Type": type }),
        ...(chunked ? { "Transfer-Encoding": "chunked" } : {}),
        ...headers,
      }),
    );
    let ended = false;
    return {
      write: (data) => {
        if (ended || data.length === 0) return Promise.resolve(!socket.destroyed);
        const bytes = typeof data === "string" ? Buffer.from(data) : data;
        if (!chunked) return writeTo(socket, bytes);
        return writeTo(socket, Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, crlf]));
      },
      end: () => {
        if (ended) return;
        ended = true;
        if (chunked && !socket.destroyed) socket.write("0\r\n\r\n");
      },
    };
  }

  /** True when the client asked to switch protocols. */
  get wantsUpgrade(): boolean {
    return (
      this.#request.headers.has("upgrade") &&
      (this.#request.headers.get("connection")?.toLowerCase().includes("upgrade") ?? false)
    );
  }

  /**
   * Takes the connection over. With an Upgrade header the answer is 101, without one 200 and the bytes
   * follow all the same. The headers go out in a write of their own: some clients lose data that shares
   * a segment with them. `protocol` is what the client wants to switch to.
   */
  async hijack(type: string, protocol = "tcp"): Promise<Hijacked> {
    await this.#body.drain(1 << 20);
    const upgrade = this.wantsUpgrade;
    return await this.#takeOver(
      upgrade ? 101 : 200,
      upgrade
        ? `HTTP/1.1 101 UPGRADED\r\nContent-Type: ${type}\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n${this.#extra()}\r\n`
        : `HTTP/1.1 200 OK\r\nContent-Type: ${type}\r\n\r\n`,
    );
  }

  /** Switches to `protocol` (RFC 9110 section 7.8) and gives the connection. */
  async upgrade(protocol: string, headers: Headers = {}): Promise<Hijacked> {
    await this.#body.drain(1 << 20);
    let text = `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n`;
    for (const [name, value] of Object.entries(headers))
      text += `${name}: ${value.replace(/[\r\n]/g, " ")}\r\n`;
    return await this.#takeOver(101, `${text}\r\n`);
  }

  async #takeOver(status: number, head: string): Promise<Hijacked> {
    this.hijacked = true;
    this.started = true;
    this.close = true;
    this.status = status;
    const socket = this.#socket;
    const controller = new AbortController();
    if (socket.destroyed) controller.abort();
    else socket.once("close", () => controller.abort());
    await new Promise<void>((resolve) => {
      socket.write(head, () => setImmediate(resolve));
      socket.once("close", () => resolve());
    });
    return {
      read: () => this.#input.some(),
      write: (data) => writeTo(socket, data),
      end: () => {
        // A slow client still gets everything: nothing is destroyed before the system has all of it.
        const flushed = new Promise<void>((resolve) => socket.end(() => resolve()));
        // The client's half may stay open for as long as it likes; nobody reads it any more.
        void flushed.then(() => setTimeout(() => socket.destroy(), 10_000).unref());
        void (async () => {
          while (await this.#input.some());
          await flushed;
          socket.destroy();
        })();
      },
      destroy: () => socket.destroy(),
      signal: controller.signal,
    };
  }

  #extra(): string {
    const version = this.#common["Api-Version"];
    return version ? `Api-Version: ${version}\r\n` : "";
  }
}

const crlf = Buffer.from("\r\n");
