/** Reads files of an archive by http(s) or from a local folder; broken connections are resumed. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { sleep } from "../base/async.ts";
import { CortenError, messageOf, notFound } from "../base/errors.ts";

export interface DownloadOptions {
  proxy?: string | undefined;
  signal?: AbortSignal | undefined;
  headers?: Record<string, string>;
}

const attempts = 4;
const silenceLimit = 60_000;

export interface OpenedFile {
  bytes: AsyncIterable<Uint8Array>;
  headers: Headers;
  status: number;
}

/** Opens a file at a position. Fails with `not_found` or `unavailable`. A 304 is an answer without bytes. */
async function open(url: URL, from: number, options: DownloadOptions): Promise<OpenedFile> {
  if (url.protocol === "file:" || url.protocol === "copy:") {
    const path = fileURLToPath(`file://${url.pathname}`);
    await stat(path).catch(() => {
      throw notFound(`${path} does not exist`);
    });
    return { bytes: createReadStream(path, { start: from }), headers: new Headers(), status: 200 };
  }
  const silence = new AbortController();
  const timer = setTimeout(() => silence.abort(new Error("no answer within 60 s")), silenceLimit);
  const signals = [silence.signal, ...(options.signal ? [options.signal] : [])];
  const init = {
    headers: {
      "accept-encoding": "identity",
      "user-agent": "corten (deb)",
      ...options.headers,
      ...(from > 0 && { range: `bytes=${from}-` }),
    },
    signal: AbortSignal.any(signals),
    timeout: false,
    ...(options.proxy && { proxy: options.proxy }),
  };
  let response: Response;
  try {
    response = await fetch(url, init as BunFetchRequestInit);
  } catch (error) {
    clearTimeout(timer);
    if (options.signal?.aborted) throw new CortenError("canceled", "canceled", { cause: error });
    throw new CortenError("unavailable", `${url.href}: ${messageOf(error)}`, { cause: error });
  }
  const { status } = response;
  if (status === 200 || status === 206 || status === 304)
    return { bytes: chunks(url, response, timer), headers: response.headers, status };
  clearTimeout(timer);
  await response.body?.cancel();
  const text = `${url.href}: ${status} ${response.statusText}`.trim();
  throw status === 404 || status === 403 || status === 410
    ? notFound(text)
    : new CortenError("unavailable", text);
}

async function* chunks(url: URL, response: Response, timer: NodeJS.Timeout): AsyncGenerator<Uint8Array> {
  try {
    if (!response.body) return;
    for await (const chunk of response.body) {
      timer.refresh();
      yield chunk;
    }
  } catch (error) {
    throw new CortenError("unavailable", `${url.href}: ${messageOf(error)}`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

/** A small file as a whole, at most `limit` bytes; undefined when it has not changed (304). */
export async function downloadSmall(
  url: URL,
  limit: number,
  options: DownloadOptions,
): Promise<{ bytes: Buffer; headers: Headers } | undefined> {
  const file = await open(url, 0, options);
  if (file.status === 304) return undefined;
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of file.bytes) {
    size += chunk.length;
    if (size > limit)
      throw new CortenError("resource_exhausted", `${url.href} is larger than ${limit} bytes`);
    parts.push(chunk);
  }
  return { bytes: Buffer.concat(parts), headers: file.headers };
}

/** A file of known size and digest; what differs from them is refused before the last byte is handed on. */
export async function* downloadVerified(
  url: URL,
  expected: { size: number; sha256: string },
  options: DownloadOptions,
  onProgress: (offset: number) => void = () => {},
): AsyncGenerator<Uint8Array> {
  const wrong = (what: string) =>
    new CortenError(
      "data_loss",
      `${url.href} is not what the archive's index says: ${what}; expected ${expected.size}, ${expected.sha256}`,
    );
  const hash = createHash("sha256");
  let offset = 0;
  let held: Uint8Array | undefined;
  for (let attempt = 1; offset < expected.size; attempt++) {
    try {
      const file = await open(url, offset, options);
      const announced = file.headers.get("content-length");
      const whole = file.status === 200 && announced !== null;
      if (whole && announced !== String(expected.size)) throw wrong(`size ${announced}`);
      let skip = file.status === 206 || url.protocol === "file:" || url.protocol === "copy:" ? 0 : offset;
      for await (const chunk of file.bytes) {
        const rest = chunk.subarray(Math.min(skip, chunk.length));
        skip -= chunk.length - rest.length;
        if (rest.length === 0) continue;
        offset += rest.length;
        if (offset > expected.size) break;
        hash.update(rest);
        if (held) yield held;
        held = rest;
        attempt = 1;
        onProgress(offset);
      }
      // Without a length its end is only known by the encoding, which the runtime has checked.
      if (offset < expected.size && announced === null && file.status === 200) throw wrong(`size ${offset}`);
      if (offset < expected.size) throw new CortenError("unavailable", `${url.href}: the connection broke`);
    } catch (error) {
      if (!(error instanceof CortenError) || error.code !== "unavailable" || attempt >= attempts) throw error;
      await sleep(200 * 2 ** attempt);
    }
  }
  const found = hash.digest("hex");
  if (offset !== expected.size || found !== expected.sha256) throw wrong(`size ${offset}, sha256 ${found}`);
  if (held) yield held;
}
