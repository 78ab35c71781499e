/** An archive's bytes, uncompressed: told apart by their first bytes. Layers are plain, gzip or zstd only. */
import { Readable } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { asCortenError, invalid, messageOf, unimplemented } from "../base/errors.ts";

export type Compression = "gzip" | "zstd" | "xz" | "bzip2" | "none";

/** Large enough that handing a piece over costs nothing beside making it. */
const chunkSize = 512 << 10;

/** What the first bytes of a stream say (RFC 1952; RFC 8878, with its skippable frames). */
export function detectCompression(head: Uint8Array): Compression {
  const magic = Buffer.from(head.subarray(0, 6)).toString("hex");
  if (magic.startsWith("1f8b08")) return "gzip";
  if (magic.startsWith("28b52ffd") || /^5[0-9a-f]2a4d18/.test(magic)) return "zstd";
  if (magic.startsWith("fd377a585a00")) return "xz";
  if (/^425a683[1-9]/.test(magic)) return "bzip2";
  return "none";
}

/** The stream with its first bytes looked at. */
async function peek(
  source: AsyncIterable<Uint8Array>,
): Promise<{ head: Uint8Array; all: AsyncIterable<Uint8Array> }> {
  const iterator = source[Symbol.asyncIterator]();
  const taken: Uint8Array[] = [];
  let length = 0;
  let done = false;
  while (length < 6 && !done) {
    const next = await iterator.next();
    if (next.done) done = true;
    else {
      taken.push(next.value);
      length += next.value.length;
    }
  }
  async function* all(): AsyncGenerator<Uint8Array> {
    try {
      yield* taken;
      while (!done) {
        const next = await iterator.next();
        if (next.done) return;
        yield next.value;
      }
    } finally {
      await iterator.return?.();
    }
  }
  return { head: Buffer.concat(taken), all: all() };
}

/**
 * The uncompressed bytes of `source`. The decompressor runs on its own thread and works ahead of the reader
 * by a few pieces; ending the loop early stops it. `any`: also xz and bzip2, which are decoded on this thread.
 */
export async function* decompress(
  source: AsyncIterable<Uint8Array>,
  options: { what?: string; any?: boolean } = {},
): AsyncGenerator<Uint8Array> {
  const { head, all } = await peek(source);
  const what = options.what ?? "layer";
  const compression = detectCompression(head);
  if (compression === "none") {
    yield* all;
    return;
  }
  if (compression === "xz" || compression === "bzip2") {
    if (!options.any) throw unimplemented(`${what}: ${compression} compression is not supported`);
    yield* compression === "xz" ? unxz(all, what) : bunzip2(all, what);
    return;
  }
  const settings = { chunkSize, readableHighWaterMark: 4 * chunkSize };
  const decoder = compression === "gzip" ? createGunzip(settings) : createZstdDecompress(settings);
  const input = Readable.from(all, { objectMode: true, highWaterMark: 4 });
  input.on("error", (error) => decoder.destroy(error));
  input.pipe(decoder);
  try {
    for await (const chunk of decoder) yield chunk as Uint8Array;
  } catch (error) {
    const code = String((error as NodeJS.ErrnoException).code ?? "");
    if (/^(Z_|ZSTD_|ERR_ZLIB|ERR_ZSTD)/.test(code))
      throw invalid(`${what}: the ${compression} data is damaged: ${(error as Error).message}`, error);
    throw asCortenError(error);
  } finally {
    input.destroy();
    decoder.destroy();
  }
}

async function* unxz(source: AsyncIterable<Uint8Array>, what: string): AsyncGenerator<Uint8Array> {
  const { XzReadableStream } = await import("xz-decompress");
  const iterator = source[Symbol.asyncIterator]();
  const input = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const next = await iterator.next();
      if (next.done) controller.close();
      else controller.enqueue(next.value);
    },
  });
  const reader = new XzReadableStream(input).getReader();
  try {
    for (;;) {
      const next = await reader.read().catch((error) => {
        throw invalid(`${what}: the xz data is damaged: ${messageOf(error)}`, error);
      });
      if (next.done) return;
      yield next.value;
    }
  } finally {
    // It frees the decoder's memory twice when it has ended already, and says so.
    await reader.cancel().catch(() => {});
    await iterator.return?.();
  }
}

async function* bunzip2(source: AsyncIterable<Uint8Array>, what: string): AsyncGenerator<Uint8Array> {
  const { Bunzip2 } = await import("./bunzip2.ts");
  const decoder = new Bunzip2(what);
  for await (const chunk of source) yield* decoder.push(chunk);
  yield* decoder.finish();
}
