/** Layers in another compression. The same bytes give the same blob: levels are fixed, gzip headers have no time. */
import { invalid, isCode } from "../../base/errors.ts";
import { span } from "../../base/trace.ts";
import { type Digest, isDigest } from "../../oci/digest.ts";
import { type Descriptor, layerCompression, mediaTypes } from "../../oci/image-spec.ts";
import { blobStream, ingestBlob } from "./blob.ts";
import type { ContainerdClient } from "./types.ts";
import { shortId } from "./unpack.ts";

export interface CompressionChoice {
  compression: "none" | "gzip" | "zstd";
  /** gzip: 0–9, zstd: 0–22; absent: the library's default. */
  level?: number;
}

const pieceSize = 256 << 10;

/** The layer types of both families by compression; Docker's has no zstd. */
export function layerType(compression: CompressionChoice["compression"], oci: boolean): string {
  if (compression === "zstd") return mediaTypes.ociLayerZstd;
  if (compression === "gzip") return oci ? mediaTypes.ociLayerGzip : mediaTypes.dockerLayerGzip;
  return oci ? mediaTypes.ociLayer : mediaTypes.dockerLayer;
}

/**
 * The layer compressed as asked, of the same family of media types. What it became is noted at the layer's blob, so it is
 * compressed once as long as both exist.
 */
export async function compressLayer(
  client: ContainerdClient,
  layer: Descriptor,
  choice: CompressionChoice,
  signal?: AbortSignal,
): Promise<Descriptor> {
  const before = layerCompression(layer.mediaType);
  if (before === undefined) throw invalid(`${layer.mediaType} is no layer`);
  const oci = layer.mediaType.startsWith("application/vnd.oci.") || choice.compression === "zstd";
  const { data: _, ...rest } = layer;
  const mediaType = layerType(choice.compression, oci);
  const label = labelOf(choice);
  const { info } = await client.content.info({ digest: layer.digest });
  const known = await recall(client, info?.labels[label]);
  if (known) return { ...rest, mediaType, ...known };
  const diffId = info?.labels["containerd.io/uncompressed"] ?? (before === "none" ? layer.digest : undefined);
  const written = await span("store", `compress ${shortId(layer.digest)}`, async () =>
    ingestBlob(
      client,
      {
        ref: `compress-${choice.compression}-${layer.digest}-${crypto.randomUUID()}`,
        ...(diffId && choice.compression !== "none"
          ? { labels: { "containerd.io/uncompressed": diffId } }
          : {}),
        ...(signal ? { signal } : {}),
      },
      recompress(blobStream(client, layer.digest), before !== "none", choice),
    ),
  );
  await client.content.update({
    info: { digest: layer.digest, labels: { [label]: `${written.digest} ${written.size}` } },
    updateMask: { paths: [`labels.${label}`] },
  });
  return { ...rest, mediaType, ...written };
}

const labelOf = ({ compression, level }: CompressionChoice): string =>
  `corten.blob.${compression}${level === undefined ? "" : `-${level}`}`;

/** What a layer became when it was compressed before, whether or not that blob is still here. */
export async function compressedBefore(
  client: ContainerdClient,
  layer: Descriptor,
  choice: CompressionChoice,
): Promise<Descriptor | undefined> {
  const { info } = await client.content.info({ digest: layer.digest });
  const [digest = "", size = ""] = info?.labels[labelOf(choice)]?.split(" ") ?? [];
  if (!isDigest(digest) || !/^\d+$/.test(size)) return undefined;
  const oci = layer.mediaType.startsWith("application/vnd.oci.") || choice.compression === "zstd";
  const { data: _, ...rest } = layer;
  return { ...rest, mediaType: layerType(choice.compression, oci), digest, size: Number(size) };
}

/** The blob a label names, if it is there and our lease holds it now. */
async function recall(
  client: ContainerdClient,
  text: string | undefined,
): Promise<{ digest: Digest; size: number } | undefined> {
  if (text === undefined) return undefined;
  const [digest = "", size = ""] = text.split(" ");
  try {
    if (client.lease !== undefined)
      await client.leases.addResource({ id: client.lease, resource: { id: digest, type: "content" } });
    const { info } = await client.content.info({ digest });
    return info && Number(info.size) === Number(size) ? { digest, size: Number(size) } : undefined;
  } catch (error) {
    if (isCode(error, "not_found") || isCode(error, "invalid_argument")) return undefined;
    throw error;
  }
}

async function* recompress(
  source: AsyncIterable<Uint8Array>,
  compressed: boolean,
  choice: CompressionChoice,
): AsyncGenerator<Uint8Array> {
  const { decompress } = await import("../../archive/decompress.ts");
  yield* compress(compressed ? decompress(source) : source, choice);
}

/** The bytes of a stream, compressed on other threads. */
export async function* compress(
  source: AsyncIterable<Uint8Array>,
  { compression, level }: CompressionChoice,
): AsyncGenerator<Uint8Array> {
  if (compression === "none") yield* source;
  else if (compression === "gzip") yield* gzip(source, level);
  else yield* zstd(source, level);
}

async function* zstd(
  source: AsyncIterable<Uint8Array>,
  level: number | undefined,
): AsyncGenerator<Uint8Array> {
  const { Readable } = await import("node:stream");
  const { constants, createZstdCompress } = await import("node:zlib");
  const params = level === undefined ? {} : { params: { [constants.ZSTD_c_compressionLevel]: level } };
  const encoder = createZstdCompress({ chunkSize: pieceSize, ...params });
  const input = Readable.from(source, { objectMode: true, highWaterMark: 4 });
  input.on("error", (error) => encoder.destroy(error));
  input.pipe(encoder);
  try {
    for await (const piece of encoder) yield piece as Uint8Array;
  } finally {
    input.destroy();
    encoder.destroy();
  }
}

/** Of input; fixed, so that the number of processors does not show in the result. */
const blockSize = 1 << 20;
/** What a deflate block may refer back to (RFC 1951). */
const windowSize = 32 << 10;

/**
 * One gzip member (RFC 1952) whose blocks are deflated side by side, each with the end of the one before as its dictionary:
 * as small as from one piece, and any reader takes it. No time and no name in the header.
 */
async function* gzip(
  source: AsyncIterable<Uint8Array>,
  level: number | undefined,
): AsyncGenerator<Uint8Array> {
  const { availableParallelism } = await import("node:os");
  const { constants, crc32, deflateRaw } = await import("node:zlib");
  const atOnce = Math.min(availableParallelism(), 8) + 1;
  const deflate = (block: Uint8Array, dictionary: Uint8Array, last: boolean) =>
    new Promise<Uint8Array>((resolve, reject) => {
      const options = {
        // Every block but the last ends at a byte, without ending the stream.
        finishFlush: last ? constants.Z_FINISH : constants.Z_SYNC_FLUSH,
        ...(level === undefined ? {} : { level }),
        ...(dictionary.length === 0 ? {} : { dictionary }),
      };
      deflateRaw(block, options, (error, result) => (error ? reject(error) : resolve(result)));
    });
  yield Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255);
  const queue: Promise<Uint8Array>[] = [];
  let dictionary: Uint8Array = new Uint8Array(0);
  let checksum = 0;
  let size = 0;
  try {
    for await (const block of blocks(source)) {
      checksum = crc32(block, checksum);
      size += block.length;
      const work = deflate(block, dictionary, false);
      // Whoever awaits it in its turn hears of a failure.
      work.catch(() => {});
      queue.push(work);
      dictionary = block.subarray(Math.max(0, block.length - windowSize));
      if (queue.length >= atOnce) yield await queue.shift()!;
    }
    while (queue.length > 0) yield await queue.shift()!;
    yield await deflate(new Uint8Array(0), new Uint8Array(0), true);
  } finally {
    await Promise.allSettled(queue);
  }
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(checksum, 0);
  trailer.writeUInt32LE(size % 2 ** 32, 4);
  yield trailer;
}

/** The stream in blocks of the same size, the last one smaller. */
async function* blocks(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let block = Buffer.allocUnsafe(blockSize);
  let filled = 0;
  for await (const piece of source)
    for (let at = 0; at < piece.length; ) {
      const length = Math.min(piece.length - at, blockSize - filled);
      block.set(piece.subarray(at, at + length), filled);
      filled += length;
      at += length;
      if (filled < blockSize) continue;
      yield block;
      block = Buffer.allocUnsafe(blockSize);
      filled = 0;
    }
  if (filled > 0) yield block.subarray(0, filled);
}
