/**
 * HTTP/1.1 over a `Connection` (RFC 9112): request line, headers, and bodies framed by length, by chunks,
 * or by the end of the connection. Interim answers (1xx other than 101) are skipped.
 */
import { CortenError } from "../../base/errors.ts";
import type { ByteStream, Connection } from "./socket.ts";

/** More than any daemon sends; a bound on what an unknown peer can make us keep. */
const maxHeaderBytes = 256 * 1024;

export type Body = string | Uint8Array | AsyncIterable<Uint8Array>;

export interface HttpRequest {
  method: string;
  target: string;
  host: string;
  headers: Record<string, string>;
  body: Body | undefined;
}

export interface HttpResponse {
  status: number;
  reason: string;
  /** Lower-case names; a repeated header keeps its last value. */
  headers: Map<string, string>;
  /** The body's bytes, framing removed. Must be read to the end or closed. */
  body: ResponseBody;
  /** True when the connection carries a raw stream from here on (101, or a hijack answered with 200). */
  raw: boolean;
}

/**
 * Sends a request; undefined when the kernel has taken all of it at once. A streamed body goes chunked and is not
 * awaited to the end here: answers may come earlier. Nothing of the usual way names Buffer, whose first use costs a
 * command 0.2 ms.
 */
export function sendRequest(connection: Connection, request: HttpRequest): Promise<void> | undefined {
  let head = `${request.method} ${request.target} HTTP/1.1\r\nHost: ${request.host}\r\n`;
  for (const name in request.headers) head += `${name}: ${oneLine(request.headers[name]!)}\r\n`;
  const { body } = request;
  if (body === undefined) {
    if (request.method === "POST" || request.method === "PUT") head += "Content-Length: 0\r\n";
    return connection.send(`${head}\r\n`);
  }
  if (typeof body === "string")
    return connection.send(`${head}Content-Length: ${encoder.encode(body).length}\r\n\r\n${body}`);
  if (body instanceof Uint8Array) {
    connection.send(`${head}Content-Length: ${body.length}\r\n\r\n`)?.catch(() => {});
    return connection.send(body);
  }
  return sendChunked(connection, head, body);
}

async function sendChunked(
  connection: Connection,
  head: string,
  body: AsyncIterable<Uint8Array>,
): Promise<void> {
  await connection.write(`${head}Transfer-Encoding: chunked\r\n\r\n`);
  for await (const chunk of body) {
    if (chunk.length === 0) continue;
    await connection.write(`${chunk.length.toString(16)}\r\n`);
    await connection.write(chunk);
    await connection.write("\r\n");
  }
  await connection.write("0\r\n\r\n");
}

const encoder = new TextEncoder();

/** Header values come from users (labels, names): a line break must not become another header. */
function oneLine(value: string): string {
  if (value.includes("\r") || value.includes("\n"))
    throw new CortenError("invalid_argument", "invalid header field value");
  return value;
}

/** Reads status and headers, and prepares the body. `hijack` says that a success is a raw stream. */
export async function readResponse(
  connection: Connection,
  method: string,
  hijack = false,
): Promise<HttpResponse> {
  let seen: Buffer | undefined;
  for (;;) {
    const chunk = await connection.read();
    if (!chunk) throw malformed(seen ? "unexpected EOF" : "EOF");
    seen = seen ? joined(seen, chunk) : chunk;
    const end = seen.indexOf("\r\n\r\n");
    if (end < 0) {
      if (seen.length > maxHeaderBytes) throw malformed("response headers too large");
      continue;
    }
    connection.unread(seen.subarray(end + 4));
    const lines = seen.toString("latin1", 0, end).split("\r\n");
    seen = undefined;
    const first = lines[0] ?? "";
    const status = Number(first.slice(9, 12));
    const known = first.startsWith("HTTP/1.1 ") || first.startsWith("HTTP/1.0 ");
    if (!known || !(status >= 100 && status <= 999))
      throw malformed(`malformed HTTP response "${first.slice(0, 80)}"`);
    const headers = new Map<string, string>();
    for (let index = 1; index < lines.length; index++) {
      const line = lines[index]!;
      const colon = line.indexOf(":");
      if (colon > 0) headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
    }
    if (status >= 100 && status < 200 && status !== 101) continue;
    const raw = status === 101 || (hijack && status === 200);
    const bare = raw || method === "HEAD" || status === 204 || status === 304;
    return {
      status,
      reason: first.slice(12).trimStart(),
      headers,
      body: new ResponseBody(connection, headers, bare),
      raw,
    };
  }
}

const joined = (start: Buffer, rest: Buffer): Buffer => Buffer.concat([start, rest]);

const malformed = (message: string) => new CortenError("unavailable", message);

/** A body by its framing (RFC 9112, section 6.3): of a length, in chunks, or to the end of the connection. */
export class ResponseBody implements ByteStream {
  readonly #connection: Connection;
  readonly #framing: "length" | "chunks" | "connection";
  /** Of the body, or of the chunk that is being read. */
  #left = 0;
  #inChunk = false;
  #ended = false;
  /** Who aborts it ends the body without an error. */
  signal: AbortSignal | undefined;
  /** Called once: true when the connection is fit for another request. */
  onEnd: ((reusable: boolean) => void) | undefined;

  constructor(connection: Connection, headers: Map<string, string>, bare: boolean) {
    this.#connection = connection;
    const length = headers.get("content-length");
    if (bare) this.#framing = "length";
    else if (headers.get("transfer-encoding")?.toLowerCase().includes("chunked")) this.#framing = "chunks";
    else if (length === undefined) this.#framing = "connection";
    else {
      this.#framing = "length";
      this.#left = Number(length);
      if (!Number.isSafeInteger(this.#left) || this.#left < 0) throw malformed("bad Content-Length");
    }
  }

  async read(): Promise<Buffer | undefined> {
    if (this.#ended) return undefined;
    try {
      if (this.#left === 0 && this.#framing === "chunks") await this.#nextChunk();
      if (this.#left === 0 && this.#framing !== "connection") {
        this.#end(true);
        return undefined;
      }
      const chunk = await this.#connection.read();
      if (this.#framing === "connection") {
        if (!chunk) this.#end(false);
        return chunk;
      }
      if (!chunk) throw malformed("unexpected EOF");
      if (chunk.length <= this.#left) {
        this.#left -= chunk.length;
        return chunk;
      }
      const part = chunk.subarray(0, this.#left);
      this.#connection.unread(chunk.subarray(this.#left));
      this.#left = 0;
      return part;
    } catch (error) {
      this.close();
      if (this.signal?.aborted) return undefined;
      throw error;
    }
  }

  /** Reads up to the next chunk's bytes; `#left` stays 0 after the last one. */
  async #nextChunk(): Promise<void> {
    if (this.#inChunk && (await readLine(this.#connection)) !== "")
      throw malformed("malformed chunked encoding");
    const line = await readLine(this.#connection);
    const size = Number.parseInt(line, 16);
    if (!/^[0-9a-fA-F]+/.test(line) || !Number.isSafeInteger(size))
      throw malformed("malformed chunked encoding");
    this.#inChunk = true;
    this.#left = size;
    if (size === 0) while ((await readLine(this.#connection)) !== "");
  }

  /** Leaving the loop gives up the rest. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    try {
      for (let chunk = await this.read(); chunk; chunk = await this.read()) yield chunk;
    } finally {
      this.close();
    }
  }

  /** Gives up what has not been read, and the connection with it. */
  close(): void {
    this.#end(false);
  }

  #end(reusable: boolean): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.onEnd) this.onEnd(reusable);
    else if (!reusable) this.#connection.close();
  }
}

async function readLine(connection: Connection): Promise<string> {
  let line = "";
  for (;;) {
    const chunk = await connection.read();
    if (!chunk) throw malformed("unexpected EOF");
    const end = chunk.indexOf(10);
    if (end >= 0) {
      connection.unread(chunk.subarray(end + 1));
      line += chunk.toString("latin1", 0, end);
      return line.endsWith("\r") ? line.slice(0, -1) : line;
    }
    line += chunk.toString("latin1");
    if (line.length > maxHeaderBytes) throw malformed("malformed chunked encoding");
  }
}
