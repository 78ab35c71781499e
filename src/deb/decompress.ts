/** The compressions of .deb members and indexes: gz and zst by the runtime, xz by a WebAssembly decoder. */
import { Readable } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { CortenError, messageOf } from "../base/errors.ts";

export type Compression = "none" | "gz" | "xz" | "zst";

/** By a file name's end. */
export function compressionOf(name: string): Compression {
  const match = /\.(gz|xz|zst)$/.exec(name);
  return (match?.[1] as Compression | undefined) ?? "none";
}

/** Decompresses a stream, at most `limit` bytes of it. */
export async function* decompress(
  source: AsyncIterable<Uint8Array>,
  compression: Compression,
  limit: number,
): AsyncGenerator<Uint8Array> {
  let size = 0;
  try {
    for await (const chunk of decoder(source, compression)) {
      size += chunk.length;
      if (size > limit)
        throw new CortenError("resource_exhausted", `decompressed data is larger than ${limit} bytes`);
      yield chunk;
    }
  } catch (error) {
    if (error instanceof CortenError) throw error;
    throw new CortenError("data_loss", `corrupt ${compression} data: ${messageOf(error)}`, { cause: error });
  }
}

async function* decoder(
  source: AsyncIterable<Uint8Array>,
  compression: Compression,
): AsyncGenerator<Uint8Array> {
  if (compression === "none") yield* source;
  else if (compression === "xz") {
    const { XzReadableStream } = await import("xz-decompress");
    const reader = new XzReadableStream(webStream(source)).getReader();
    try {
      for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value;
    } finally {
      // It frees the decoder's memory twice when it has ended already, and says so.
      await reader.cancel().catch(() => {});
    }
  } else {
    const input = Readable.from(source, { objectMode: false, highWaterMark: 256 * 1024 });
    const options = { chunkSize: 256 * 1024 };
    const output = compression === "gz" ? createGunzip(options) : createZstdDecompress(options);
    input.on("error", (error) => output.destroy(error));
    yield* input.pipe(output) as AsyncIterable<Uint8Array>;
  }
}

function webStream(source: AsyncIterable<Uint8Array>): ReadableStream<Uint8Array> {
  const iterator = source[Symbol.asyncIterator]();
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const next = await iterator.next();
      if (next.done) controller.close();
      else controller.enqueue(next.value);
    },
    async cancel() {
      await iterator.return?.();
    },
  });
}
