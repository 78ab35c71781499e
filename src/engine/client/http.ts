/**
 * HTTP/1.1 over a `Connection` (RFC 9112): request line, headers, and bodies framed by length, by chunks,
 * or by the end of the connection. Interim answers (1xx other than 101) are skipped.
 */
import { CortenError } from "../../base/errors.ts";
import type { Connection } from "./socket.ts";

/** More than any daemon sends; a bound on what an unknown peer can make us keep. */
const maxHeaderBytes = 256 * 1024;

export type Body = string | Uint8Array | AsyncIterable<Uint8Array>;

export interface HttpRequest {
  method: string;
  target: string;
  host: string;
  headers: Record<string, string>;
  body?: Body;
}

export interface HttpResponse {
  status: number;
  reason: string;
  /** Lower-case names; a repeated header keeps its last value. */
  headers: Map<string, string>;
  /** The body's bytes, framing removed. Must be read to the end or the connection closed. */
  body: AsyncIterable<Uint8Array>;
  /** True when the connection carries a raw stream from here on (101, or a hijack answered with 200). */
  raw: boolean;
}

/**
 * Sends a request. A streamed body goes chunked and is not awaited to the end here: answers may come earlier.
 * Without Buffer.from and regular expressions, whose first use costs a command 0.1 ms each.
 */
export function sendRequest(connection: Connection, request: HttpRequest): Promise<void> {
  let head = `${request.method} ${request.target} HTTP/1.1\r\nHost: ${request.host}\r\n`;
  for (const name in request.headers) head += `${name}: ${oneLine(request.headers[name]!)}\r\n`;
  const { body } = request;
  if (body === undefined) {
    if (request.method === "POST" || request.method === "PUT") head += "Content-Length: 0\r\n";
    return connection.write(`${head}\r\n`);
  }
  if (typeof body === "string" || body instanceof Uint8Array) {
    const bytes = typeof body === "string" ? encoder.encode(body) : body;
    const start = encoder.encode(`${head}Content-Length: ${bytes.length}\r\n\r\n`);
    return connection.write(Buffer.concat([start, bytes]));
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
  for (;;) {
    const lines = (await readHead(connection)).split("\r\n");
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
    const body = bare ? empty() : bodyOf(connection, headers);
    return { status, reason: first.slice(12).trimStart(), headers, body, raw };
  }
}

async function readHead(connection: Connection): Promise<string> {
  let seen: Buffer = Buffer.alloc(0);
  for (;;) {
    const chunk = await connection.read();
    if (!chunk) throw malformed(seen.length === 0 ? "EOF" : "unexpected EOF");
    seen = Buffer.concat([seen, chunk]);
    const end = seen.indexOf("\r\n\r\n");
    if (end >= 0) {
      connection.unread(seen.subarray(end + 4));
      return seen.toString("latin1", 0, end);
    }
    if (seen.length > maxHeaderBytes) throw malformed("response headers too large");
  }
}

const malformed = (message: string) => new CortenError("unavailable", message);

async function* empty(): AsyncGenerator<Uint8Array> {}

function bodyOf(connection: Connection, headers: Map<string, string>): AsyncIterable<Uint8Array> {
  if (headers.get("transfer-encoding")?.toLowerCase().includes("chunked")) return chunked(connection);
  const length = headers.get("content-length");
  if (length !== undefined) return sized(connection, Number(length));
  return untilClose(connection);
}

async function* sized(connection: Connection, length: number): AsyncGenerator<Uint8Array> {
  if (!Number.isSafeInteger(length) || length < 0) throw malformed("bad Content-Length");
  let left = length;
  while (left > 0) {
    const chunk = await connection.read();
    if (!chunk) throw malformed("unexpected EOF");
    if (chunk.length > left) {
      connection.unread(chunk.subarray(left));
      yield chunk.subarray(0, left);
      return;
    }
    left -= chunk.length;
    yield chunk;
  }
}

async function* untilClose(connection: Connection): AsyncGenerator<Uint8Array> {
  for (let chunk = await connection.read(); chunk; chunk = await connection.read()) yield chunk;
}

async function* chunked(connection: Connection): AsyncGenerator<Uint8Array> {
  for (;;) {
    const line = await readLine(connection);
    const size = Number.parseInt(line, 16);
    if (!/^[0-9a-fA-F]+/.test(line) || !Number.isSafeInteger(size))
      throw malformed("malformed chunked encoding");
    if (size === 0) {
      while ((await readLine(connection)) !== "");
      return;
    }
    yield* sized(connection, size);
    if ((await readLine(connection)) !== "") throw malformed("malformed chunked encoding");
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
      line += Buffer.from(chunk.buffer, chunk.byteOffset, end).toString("latin1");
      return line.endsWith("\r") ? line.slice(0, -1) : line;
    }
    line += Buffer.from(chunk).toString("latin1");
    if (line.length > maxHeaderBytes) throw malformed("malformed chunked encoding");
  }
}
