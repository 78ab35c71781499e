import { CortenError, invalid } from "../base/errors.ts";
import type { SocketInput } from "./input.ts";

export type HttpVersion = "1.0" | "1.1";

export interface RequestHead {
  method: string;
  target: string;
  version: HttpVersion;
  headers: Map<string, string>;
}

/** A request that cannot be understood as HTTP; the connection ends after its answer. */
export class BadRequest extends CortenError {
  readonly status: number;
  constructor(status: number, message: string) {
    super("invalid_argument", message);
    this.status = status;
  }
}

export const endOfHead = Buffer.from("\r\n\r\n");
const endOfLine = Buffer.from("\r\n");
const tokenShape = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const headLimit = 1 << 20;

/** A line feed without its carriage return, and NUL: what could be read in two ways. */
const forbidden = /(?:^|[^\r])\n|\0/;

/** The few names that clients use, in lower case by how they write them. */
const keys = new Map<string, string>();

function keyOf(name: string): string {
  const known = keys.get(name);
  if (known !== undefined) return known;
  if (!tokenShape.test(name)) throw new BadRequest(400, "malformed header");
  const key = name.toLowerCase();
  if (keys.size < 256 && name.length < 64) keys.set(name, key);
  return key;
}

/** Parses a request head: RFC 9112 sections 3 and 5, strict in what could be read in two ways. */
export function parseHead(bytes: Uint8Array): RequestHead {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
  const lines = text.split("\r\n");
  const start = lines[0]!.match(/^(\S+) (\S+) HTTP\/1\.([01])$/);
  if (!start || !tokenShape.test(start[1]!)) throw new BadRequest(400, "malformed request line");
  if (forbidden.test(text)) throw new BadRequest(400, "malformed header");
  const headers = new Map<string, string>();
  for (const line of lines.slice(1)) {
    if (line === "") break;
    const colon = line.indexOf(":");
    const key = keyOf(line.slice(0, Math.max(0, colon)));
    const value = line.slice(colon + 1).trim();
    const before = headers.get(key);
    if (before !== undefined && (key === "content-length" || key === "host") && before !== value)
      throw new BadRequest(400, `conflicting ${key}`);
    if (before === undefined || key === "content-length" || key === "host") headers.set(key, value);
    else headers.set(key, `${before}, ${value}`);
  }
  const version = `1.${start[3]}` as HttpVersion;
  if (version === "1.1" && !headers.has("host")) throw new BadRequest(400, "missing required Host header");
  return { method: start[1]!, target: start[2]!, version, headers };
}

/** Reads the next head of a connection; undefined when the peer is done. */
export async function readHead(input: SocketInput): Promise<RequestHead | undefined> {
  let bytes: Uint8Array | undefined;
  try {
    bytes = await input.until(endOfHead, headLimit);
  } catch (error) {
    if (error instanceof RangeError && error.message === "too long")
      throw new BadRequest(431, "request header too large");
    return undefined;
  }
  return bytes && parseHead(bytes);
}

/** A request's body, read at most once: RFC 9112 section 6. */
export class RequestBody implements AsyncIterable<Uint8Array> {
  readonly #input: SocketInput;
  readonly #chunked: boolean;
  #left: number;
  #done: boolean;
  /** Where the next piece begins is not known any more: nothing after this is read as one. */
  #broken: Error | undefined;
  /** Sends `100 Continue` before the first byte is awaited, for clients that asked for it. */
  #beforeFirst: (() => void) | undefined;

  constructor(input: SocketInput, head: RequestHead, sendContinue: () => void) {
    this.#input = input;
    const encoding = head.headers.get("transfer-encoding")?.toLowerCase();
    const length = head.headers.get("content-length");
    if (encoding !== undefined && encoding !== "chunked" && encoding !== "identity")
      throw new BadRequest(501, `unsupported transfer encoding ${JSON.stringify(encoding)}`);
    this.#chunked = encoding === "chunked";
    if (this.#chunked && length !== undefined)
      throw new BadRequest(400, "both Transfer-Encoding and Content-Length");
    if (length !== undefined && !/^\d{1,15}$/.test(length)) throw new BadRequest(400, "bad Content-Length");
    this.#left = this.#chunked ? 0 : Number(length ?? 0);
    this.#done = !this.#chunked && this.#left === 0;
    if (head.headers.get("expect")?.toLowerCase() === "100-continue") this.#beforeFirst = sendContinue;
  }

  /** False for a request that brought no body at all. */
  get present(): boolean {
    return this.#chunked || this.#left > 0;
  }

  /** The next piece; undefined at the end of the body. */
  async read(): Promise<Uint8Array | undefined> {
    if (this.#done) return undefined;
    if (this.#broken) throw this.#broken;
    this.#beforeFirst?.();
    this.#beforeFirst = undefined;
    try {
      return await this.#piece();
    } catch (error) {
      this.#broken = error as Error;
      throw error;
    }
  }

  async #piece(): Promise<Uint8Array | undefined> {
    if (this.#chunked && this.#left === 0) {
      const line = await this.#line();
      const size = /^([0-9a-fA-F]{1,8})(?:[ \t]*;.*)?$/.exec(line);
      if (!size) throw new BadRequest(400, "malformed chunk");
      this.#left = Number.parseInt(size[1]!, 16);
      if (this.#left === 0) {
        while ((await this.#line()) !== "");
        this.#done = true;
        return undefined;
      }
    }
    const piece = await this.#input.some(this.#left);
    if (!piece) throw invalid("unexpected EOF");
    this.#left -= piece.length;
    if (this.#left === 0) {
      if (this.#chunked) {
        if ((await this.#line()) !== "") throw new BadRequest(400, "malformed chunk");
      } else this.#done = true;
    }
    return piece;
  }

  async #line(): Promise<string> {
    const bytes = await this.#input.until(endOfLine, 16 * 1024).catch(() => undefined);
    if (!bytes) throw invalid("unexpected EOF");
    return Buffer.from(bytes).toString("latin1").slice(0, -2);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (let piece = await this.read(); piece; piece = await this.read()) yield piece;
  }

  /** The whole body as text; more than `limit` bytes is refused. */
  async text(limit: number): Promise<string> {
    const pieces: Uint8Array[] = [];
    let size = 0;
    for await (const piece of this) {
      size += piece.length;
      if (size > limit)
        throw new CortenError("invalid_argument", `request body is larger than ${limit} bytes`);
      pieces.push(piece);
    }
    return Buffer.concat(pieces).toString("utf8");
  }

  /** Reads and forgets the rest; false when it is more than is worth reading to keep the connection. */
  async drain(limit: number): Promise<boolean> {
    if (this.#beforeFirst) return false;
    let size = 0;
    while (!this.#done) {
      const piece = await this.read().catch(() => null);
      if (piece === null) return false;
      size += piece?.length ?? 0;
      if (size > limit) return false;
    }
    return true;
  }
}
