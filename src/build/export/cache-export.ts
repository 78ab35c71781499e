import { invalid, isCode, messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import { blobStream, push, writeBlob } from "../../containerd/client/index.ts";
import type { Digest } from "../../oci/digest.ts";
import { type Descriptor, type Index, type Manifest, mediaTypes } from "../../oci/image-spec.ts";
import { formatReference, parseImageName } from "../../oci/reference.ts";
import { LayoutDirectory } from "../layout-directory.ts";
import type { BuildRequest, CacheSpec, ExporterResponse, Layer } from "../types.ts";
import { flag, layerFormat } from "./attributes.ts";
import { type CacheConfig, type CacheLayer, cacheConfigType } from "./cache-format.ts";
import { describe } from "./image.ts";
import { recordEntries } from "./inline-cache.ts";
import { LayerWriter } from "./layers.ts";
import { toRegistry } from "./registry.ts";
import { ExportProgress } from "./report.ts";
import type { CacheRecord, ExportContext } from "./types.ts";

/**
 * Writes the cache of a build (BuildKit's cacheconfig v0) to a registry or directory. `inline` is part of the image: its
 * records go into `ExportContext.inlineCache`; here it does nothing.
 */
export async function exportCache(
  spec: CacheSpec,
  records: readonly CacheRecord[],
  request: BuildRequest,
  context: ExportContext,
): Promise<ExporterResponse> {
  if (spec.type === "inline") return {};
  const report = new ExportProgress(request.progress, `exporting cache to ${spec.type}`, request.id);
  try {
    return await report.run(() => write(spec, records, request, context, report));
  } catch (error) {
    if (!flag(spec.attributes, "ignore-error", false) || isCode(error, "canceled")) throw error;
    log.warn("the cache was not exported", { type: spec.type, error: messageOf(error) });
    return {};
  }
}

interface CacheImage {
  descriptor: Descriptor;
  documents: [Descriptor, Uint8Array][];
  layers: Descriptor[];
}

async function write(
  spec: CacheSpec,
  records: readonly CacheRecord[],
  request: BuildRequest,
  context: ExportContext,
  report: ExportProgress,
): Promise<ExporterResponse> {
  const { attributes } = spec;
  const mode = attributes["mode"] || "min";
  if (mode !== "min" && mode !== "max")
    throw invalid(`invalid cache mode ${JSON.stringify(mode)}: use min or max`);
  const chosen = mode === "max" ? records : records.filter((record) => record.final);
  const image = await report.part("preparing build cache for export", () =>
    cacheImage(spec, chosen, request, context),
  );
  if (spec.type === "local") await toDirectory(spec, image, context, request.signal);
  else await toRepository(spec, image, context, request, report);
  return { "cache.manifest": JSON.stringify(image.descriptor) };
}

async function cacheImage(
  { attributes }: CacheSpec,
  records: readonly CacheRecord[],
  request: BuildRequest,
  context: ExportContext,
): Promise<CacheImage> {
  const oci = flag(attributes, "oci-mediatypes", true);
  const asImage = flag(attributes, "image-manifest", oci);
  if (asImage && !oci) throw invalid("image-manifest=true needs oci-mediatypes=true");
  const format = layerFormat(attributes, "gzip");
  const writer = new LayerWriter(context, request.signal);
  const layers: CacheLayer[] = [];
  const blobs: Descriptor[] = [];
  /** Chains that share their lower layers share their entries: a chain is known by its snapshots. */
  const tops = new Map<string, number>();
  for (const record of records) await addChain(record.layers);

  async function addChain(chain: readonly Layer[]): Promise<void> {
    if (chain.length === 0 || tops.has(nameOf(chain))) return;
    const exported = await writer.export(chain, { own: 0 });
    let parent = -1;
    for (const [at, layer] of exported.entries()) {
      const name = nameOf(chain.slice(0, at + 1));
      let index = tops.get(name);
      if (index === undefined) {
        const blob = await writer.format(layer, format, oci);
        index = layers.length;
        tops.set(name, index);
        blobs.push(blob);
        layers.push({
          blob: blob.digest,
          parent,
          annotations: {
            mediaType: blob.mediaType,
            diffID: layer.diffId,
            size: blob.size,
            createdAt: layer.createdAt.toISOString(),
          },
        });
      }
      parent = index;
    }
  }
  const config: CacheConfig = {
    layers,
    records: recordEntries(records, (record) => tops.get(nameOf(record.layers))),
  };
  return cacheDocuments(config, unique(blobs), { oci, asImage });
}

const nameOf = (chain: readonly Layer[]) => chain.map((layer) => layer.snapshot).join("\0");

const unique = (blobs: readonly Descriptor[]) => [
  ...new Map(blobs.map((blob) => [blob.digest, blob])).values(),
];

/** An image manifest whose config is the cache's, or (older) an index that lists the blobs. */
function cacheDocuments(
  config: CacheConfig,
  layers: Descriptor[],
  { oci, asImage }: { oci: boolean; asImage: boolean },
): CacheImage {
  const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
  const configBytes = encode(config);
  const configDescriptor = describe(cacheConfigType, configBytes);
  const documents: [Descriptor, Uint8Array][] = [[configDescriptor, configBytes]];
  const document: Manifest | Index = asImage
    ? { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config: configDescriptor, layers }
    : {
        schemaVersion: 2,
        mediaType: oci ? mediaTypes.ociIndex : mediaTypes.dockerManifestList,
        manifests: [...layers, configDescriptor],
      };
  const bytes = encode(document);
  const descriptor = describe(document.mediaType!, bytes);
  documents.push([descriptor, bytes]);
  return { descriptor, documents, layers };
}

async function toDirectory(
  { attributes, directory }: CacheSpec,
  image: CacheImage,
  { client }: ExportContext,
  signal: AbortSignal,
): Promise<void> {
  const path = directory ?? attributes["dest"];
  if (path === undefined || path === "") throw invalid("cache type=local needs dest=DIRECTORY");
  const layout = await LayoutDirectory.create(path);
  for (const layer of image.layers) {
    signal.throwIfAborted();
    await layout.putBlob(layer, () => blobStream(client, layer.digest));
  }
  for (const [descriptor, bytes] of image.documents) await layout.putBlob(descriptor, [bytes]);
  await layout.tag(image.descriptor, attributes["tag"] || "latest");
}

async function toRepository(
  { attributes }: CacheSpec,
  image: CacheImage,
  context: ExportContext,
  request: BuildRequest,
  report: ExportProgress,
): Promise<void> {
  const { client } = context;
  const ref = attributes["ref"];
  if (ref === undefined || ref === "") throw invalid("cache type=registry needs ref=NAME");
  const name = formatReference(parseImageName(ref));
  for (const [descriptor, bytes] of image.documents)
    await writeBlob(
      client,
      {
        ref: `cache-${descriptor.digest}`,
        digest: descriptor.digest,
        size: bytes.length,
        labels: labelsOf(image, descriptor.digest),
      },
      async () =>
        (async function* () {
          yield bytes;
        })(),
    );
  await report.part(`writing cache to ${name}`, () =>
    toRegistry(context, request, (resolver) =>
      push(client, { ref: name, target: image.descriptor, resolver, signal: request.signal }),
    ),
  );
}

/** The manifest refers to the others while it is in the store. */
function labelsOf(image: CacheImage, digest: Digest): Record<string, string> {
  if (digest !== image.descriptor.digest) return {};
  const others = [...image.layers, ...image.documents.map(([descriptor]) => descriptor)];
  return Object.fromEntries(
    others
      .filter((one) => one.digest !== digest)
      .map((one, at) => [`containerd.io/gc.ref.content.l.${at}`, one.digest]),
  );
}
