/**
 * gRPC over HTTP/2 for services whose calls have one request each: what CRI is. connect's server does the same for any service
 * in twice the time; kubelet asks ten times a second. Loaded with the first call only.
 */
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import { gunzipSync } from "node:zlib";
import {
  create,
  type DescMethod,
  type DescService,
  fromBinary,
  type Message,
  type MessageInitShape,
  toBinary,
} from "@bufbuild/protobuf";
import type { connectNodeAdapter } from "@connectrpc/connect-node";
import { asCortenError, CortenError, invalid, messageOf, unimplemented } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import { statusNumbers } from "../../base/status.ts";
import type { Implementation } from "./shell.ts";

/** Kubelet's and containerd's limit. */
const messageLimit = 16 << 20;
const prefixLength = 5;
const unknownStatus = 2;

/** What connect's servers are, too: both are served on one socket. */
export type NodeHandler = ReturnType<typeof connectNodeAdapter>;

interface Served {
  method: DescMethod;
  call: Implementation[string];
}

export function grpcHandler(
  services: ReadonlyArray<{ service: DescService; implementation: Implementation }>,
  shutdownSignal: AbortSignal,
): NodeHandler {
  const methods = new Map<string, Served>();
  for (const { service, implementation } of services)
    for (const method of service.methods) {
      const call = implementation[method.localName];
      if (call) methods.set(`/${service.typeName}/${method.name}`, { method, call });
    }
  return (given, given2) => {
    const [request, response] = [given as Http2ServerRequest, given2 as Http2ServerResponse];
    const served = methods.get(request.url);
    answer(request, response, served, shutdownSignal).catch((error) => {
      log.debug("CRI call failed", { method: served?.method.name ?? request.url, error: String(error) });
      fail(response, error);
    });
  };
}

async function answer(
  request: Http2ServerRequest,
  response: Http2ServerResponse,
  served: Served | undefined,
  shutdownSignal: AbortSignal,
): Promise<void> {
  response.on("error", (error) => log.debug("a CRI client is gone", { error: messageOf(error) }));
  if (!request.headers["content-type"]?.startsWith("application/grpc")) {
    response.writeHead(415);
    response.end();
    return;
  }
  if (!served) throw unimplemented(`unknown method ${request.url}`);
  const { method, call } = served;
  const abort = new AbortController();
  const stop = () => abort.abort();
  shutdownSignal.addEventListener("abort", stop, { once: true });
  // An answer that was given closes the stream too; then nobody listens any more.
  response.once("close", stop);
  const late = deadline(request.headers["grpc-timeout"], stop);
  try {
    const body = await readBody(request);
    const message = fromBinary(method.input, unframe(body, request.headers["grpc-encoding"]));
    if (method.methodKind === "server_streaming") {
      const items = call(message, { signal: abort.signal }) as AsyncIterable<
        MessageInitShape<typeof method.output>
      >;
      const writing = writeAll(response, method, items);
      await (late.passed ? Promise.race([writing, late.passed]) : writing);
    } else {
      const work = call(message, { signal: abort.signal }) as Promise<MessageInitShape<typeof method.output>>;
      const result = await (late.passed ? Promise.race([work, late.passed]) : work);
      if (response.stream?.destroyed) return;
      start(response);
      response.addTrailers({ "grpc-status": "0" });
      response.end(frame(method, result as Message));
    }
  } finally {
    late.clear();
    shutdownSignal.removeEventListener("abort", stop);
  }
}

const start = (response: Http2ServerResponse) =>
  response.writeHead(200, { "content-type": "application/grpc+proto" });

async function writeAll(
  response: Http2ServerResponse,
  method: DescMethod,
  items: AsyncIterable<object>,
): Promise<void> {
  let begun = false;
  for await (const item of items) {
    if (!begun) start(response);
    begun = true;
    if (response.stream?.destroyed) return;
    if (!response.write(frame(method, item as Message))) await drained(response);
  }
  if (response.stream?.destroyed) return;
  if (!begun) start(response);
  response.addTrailers({ "grpc-status": "0" });
  response.end();
}

const drained = (response: Http2ServerResponse) =>
  new Promise<void>((resolve) => {
    const done = () => {
      response.off("drain", done);
      response.off("close", done);
      resolve();
    };
    response.on("drain", done);
    response.on("close", done);
  });

/**
 * The status goes in trailers, also when nothing comes before them: headers that are to be all of an answer must end the
 * stream themselves, Bun ends it by an empty frame of data, and Go's clients then miss the trailers.
 */
function fail(response: Http2ServerResponse, error: unknown): void {
  if (response.stream?.destroyed || response.writableEnded) return;
  const { code, message } = asCortenError(error);
  const status = {
    "grpc-status": String(statusNumbers.get(code) ?? unknownStatus),
    "grpc-message": encodeURIComponent(message),
  };
  if (!response.headersSent) start(response);
  response.addTrailers(status);
  response.end();
}

function readBody(request: Http2ServerRequest): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size > messageLimit + prefixLength) {
        reject(new CortenError("resource_exhausted", `message is larger than ${messageLimit} bytes`));
        request.removeAllListeners("data");
        request.resume();
      } else chunks.push(chunk);
    });
    request.on("end", () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)));
    request.on("error", reject);
    request.on("aborted", () => reject(new CortenError("canceled", "the request was broken off")));
  });
}

/** The one message of a request, from its length-prefixed form. */
function unframe(body: Buffer, encoding: string | string[] | undefined): Uint8Array {
  if (body.length < prefixLength) throw invalid("a gRPC request without a message");
  const length = body.readUInt32BE(1);
  if (length !== body.length - prefixLength) throw invalid("a gRPC message of another length than it says");
  const bytes = body.subarray(prefixLength);
  if ((body[0]! & 1) === 0) return bytes;
  if (encoding !== "gzip")
    throw unimplemented(`messages compressed by ${String(encoding)} are not understood`);
  return gunzipSync(bytes, { maxOutputLength: messageLimit });
}

function frame(method: DescMethod, item: Message): Buffer {
  const bytes = toBinary(method.output, create(method.output, item));
  if (bytes.length > messageLimit)
    throw new CortenError(
      "resource_exhausted",
      `an answer of ${bytes.length} bytes is larger than ${messageLimit}`,
    );
  const out = Buffer.allocUnsafe(prefixLength + bytes.length);
  out[0] = 0;
  out.writeUInt32BE(bytes.length, 1);
  out.set(bytes, prefixLength);
  return out;
}

const units: Record<string, number> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

/** The time a client gives: `passed` rejects after it, and is absent when there is none. */
function deadline(
  header: string | string[] | undefined,
  stop: () => void,
): { passed?: Promise<never>; clear(): void } {
  const match = typeof header === "string" ? /^(\d{1,8})([HMSmun])$/.exec(header) : null;
  const milliseconds = match ? Math.ceil(Number(match[1]) * units[match[2]!]!) : Number.POSITIVE_INFINITY;
  // Longer than a timer can be is as good as for ever.
  if (milliseconds >= 2 ** 31) return { clear: () => {} };
  let timer: NodeJS.Timeout | undefined;
  const passed = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new CortenError("deadline_exceeded", "context deadline exceeded"));
      stop();
    }, milliseconds);
  });
  passed.catch(() => {});
  return { passed, clear: () => clearTimeout(timer) };
}
