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

/** The bytes of a stream, compressed on a thread of their own. */
export async function* compress(
  source: AsyncIterable<Uint8Array>,
  { compression, level }: CompressionChoice,
): AsyncGenerator<Uint8Array> {
  if (compression === "none") {
    yield* source;
    return;
  }
  const { Readable } = await import("node:stream");
  const { constants, createGzip, createZstdCompress } = await import("node:zlib");
  const encoder =
    compression === "gzip"
      ? createGzip({ chunkSize: pieceSize, ...(level === undefined ? {} : { level }) })
      : createZstdCompress({
          chunkSize: pieceSize,
          ...(level === undefined ? {} : { params: { [constants.ZSTD_c_compressionLevel]: level } }),
        });
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
