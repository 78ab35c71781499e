/** The HTTP request that turns a connection into another protocol's, and the connection that comes of it. */
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { messageOf } from "../../base/errors.ts";
import type { Wire } from "../../cri/streaming/wire.ts";

export interface TlsOptions {
  serverName: string;
  authority: string;
  certificate: string;
  key: string;
}

export interface Upgraded {
  wire: Wire;
  /** The protocol the server chose of those offered. */
  protocol: string;
}

/** More than any server says before it switches. */
const headLimit = 64 << 10;
/** Unread bytes at which the server has to wait. */
const unreadLimit = 1 << 20;

/** POSTs to `url`, asking for SPDY with one of `protocols`. */
export async function upgrade(url: URL, protocols: readonly string[], tls: TlsOptions): Promise<Upgraded> {
  const socket = await open(url, tls);
  socket.write(
    [
      `POST ${url.pathname}${url.search} HTTP/1.1`,
      `Host: ${url.host}`,
      "User-Agent: corten-crictl",
      "Content-Length: 0",
      "Connection: Upgrade",
      "Upgrade: SPDY/3.1",
      ...protocols.map((one) => `X-Stream-Protocol-Version: ${one}`),
      "",
      "",
    ].join("\r\n"),
  );
  const wire = new SocketWire(socket);
  try {
    const { status, headers } = await wire.head();
    if (status !== 101)
      throw new Error(
        `unable to upgrade connection: ${(await wire.rest(headers)) || `server answered ${status}`}`,
      );
    return { wire, protocol: headers.get("x-stream-protocol-version") ?? "" };
  } catch (error) {
    wire.destroy();
    throw error;
  }
}

async function open(url: URL, tls: TlsOptions): Promise<Socket> {
  const secure = url.protocol === "https:";
  const address = {
    host: url.hostname.replace(/^\[|\]$/g, ""),
    port: Number(url.port || (secure ? 443 : 80)),
    allowHalfOpen: true,
  };
  const socket = secure
    ? (await import("node:tls")).connect({ ...address, ...tlsSettings(tls) })
    : connect(address);
  await new Promise<void>((done, fail) => {
    socket.once(secure ? "secureConnect" : "connect", () => done());
    socket.once("error", (error) =>
      fail(new Error(`error sending request: Post "${url.href}": ${messageOf(error)}`, { cause: error })),
    );
  });
  return socket;
}

/** Without any file nothing is checked, as crictl does. */
export function tlsSettings({ serverName, authority, certificate, key }: TlsOptions) {
  if (authority === "" && certificate === "" && key === "") return { rejectUnauthorized: false };
  return {
    servername: serverName,
    cert: readFileSync(certificate),
    key: readFileSync(key),
    ...(authority === "" ? {} : { ca: readFileSync(authority) }),
  };
}

/** A socket that is read only as fast as it is used. */
export class SocketWire implements Wire {
  readonly #socket: Socket;
  readonly #gone = new AbortController();
  #chunks: Buffer[] = [];
  #size = 0;
  #ended = false;
  #wake: (() => void) | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#size += chunk.length;
      if (this.#size > unreadLimit) socket.pause();
      this.#wake?.();
    });
    const over = () => {
      this.#ended = true;
      this.#wake?.();
    };
    socket.on("end", over);
    socket.on("error", over);
    socket.on("close", () => {
      over();
      this.#gone.abort();
    });
  }

  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  async read(): Promise<Uint8Array | undefined> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk) {
        this.#size -= chunk.length;
        if (this.#size <= unreadLimit) this.#socket.resume();
        return chunk;
      }
      if (this.#ended) return undefined;
      await new Promise<void>((done) => {
        this.#wake = done;
      });
      this.#wake = undefined;
    }
  }

  write(bytes: Uint8Array): Promise<boolean> {
    if (this.#socket.destroyed || this.#socket.writableEnded) return Promise.resolve(false);
    if (this.#socket.write(bytes)) return Promise.resolve(true);
    return new Promise((done) => {
      const end = () => {
        this.#socket.off("drain", end);
        this.#socket.off("close", end);
        done(!this.#socket.destroyed);
      };
      this.#socket.on("drain", end);
      this.#socket.on("close", end);
    });
  }

  end(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** The answer's status and headers; what follows is read as the other protocol's. */
  async head(): Promise<{ status: number; headers: Map<string, string> }> {
    let all = Buffer.alloc(0);
    for (;;) {
      const chunk = await this.read();
      if (!chunk) throw new Error("unable to upgrade connection: unexpected EOF");
      all = Buffer.concat([all, chunk]);
      const end = all.indexOf("\r\n\r\n");
      if (end >= 0) {
        const rest = all.subarray(end + 4);
        if (rest.length > 0) {
          this.#chunks.unshift(rest);
          this.#size += rest.length;
        }
        return parseHead(all.toString("latin1", 0, end));
      }
      if (all.length > headLimit)
        throw new Error("unable to upgrade connection: the answer's head is too long");
    }
  }

  /** The body of an answer that is no upgrade. */
  async rest(headers: Map<string, string>): Promise<string> {
    const length = Math.min(Number(headers.get("content-length") ?? headLimit), headLimit);
    let text = "";
    while (text.length < length) {
      const chunk = await Promise.race([this.read(), Bun.sleep(1000).then(() => undefined)]);
      if (!chunk) break;
      text += Buffer.from(chunk).toString();
    }
    return text.trim();
  }
}

function parseHead(text: string): { status: number; headers: Map<string, string> } {
  const [first = "", ...lines] = text.split("\r\n");
  const headers = new Map(
    lines.map((line): [string, string] => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
  return { status: Number(/^HTTP\/1\.\d (\d{3})/.exec(first)?.[1] ?? 0), headers };
}
