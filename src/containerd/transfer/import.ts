import type { ImageStore } from "../../../proto/gen/containerd/types/transfer/imagestore_pb.ts";
import type { ImageImportStream } from "../../../proto/gen/containerd/types/transfer/importexport_pb.ts";
import { decompress } from "../../archive/decompress.ts";
import { invalid, notFound } from "../../base/errors.ts";
import { type Descriptor, isManifestType, layerCompression, mediaTypes } from "../../oci/image-spec.ts";
import { ingestBlob } from "../client/blob.ts";
import { compressLayer } from "../client/compress.ts";
import { Archive } from "../client/load-archive.ts";
import { readConfig } from "../client/read-image.ts";
import type { ContainerdClient } from "../client/types.ts";
import { childrenOf, deepest, isHere, labelChildren, matcherFor, wantedChildren } from "./descriptors.ts";
import { toPlatform } from "./ends.ts";
import { type TransferJob, unpackings } from "./job.ts";
import { imageNameAnnotation, importedNames, refNameAnnotation, refNameOf, storedNames } from "./names.ts";
import { storeImages } from "./store.ts";
import { unpackIfFit } from "./unpack.ts";

/** An archive's images into the store, under the names that its annotations and the destination give. */
export async function importImages(
  job: TransferJob,
  { mediaType, forceCompress }: ImageImportStream,
  bytes: AsyncIterable<Uint8Array>,
  store: ImageStore,
): Promise<void> {
  const { client, progress, signal } = job;
  progress.report({ event: "Importing" });
  const archive = new Archive(client, signal);
  await archive.read(mediaType === "" ? decompress(bytes, { what: "archive", any: true }) : bytes);
  const index = await indexOf(client, archive, forceCompress, signal);
  const unpacks = await unpackings(job, store);
  const filter = {
    matcher: matcherFor(store.platforms.map(toPlatform)),
    allMetadata: store.allMetadata,
    limit: store.manifestLimit,
  };
  const images: Descriptor[] = [];
  const walk = async (descriptor: Descriptor, depth: number) => {
    if (depth > deepest) throw invalid(`${descriptor.digest} is nested too deep: invalid argument`);
    signal.throwIfAborted();
    const children = await childrenOf(client, descriptor);
    await labelChildren(client, descriptor, children);
    if (isManifestType(descriptor.mediaType)) images.push(descriptor);
    for (const child of wantedChildren(descriptor, children, filter)) {
      // Of other platforms an archive need not have more than their names.
      const isDocument = depth === 0 || !isManifestType(descriptor.mediaType);
      if (isDocument && !(await isHere(client, child.digest)))
        throw notFound(`content digest ${child.digest}: not found`);
      await walk(child, depth + 1);
    }
  };
  await walk(index, 0);
  if (images.length === 0) throw notFound("image might be filtered out");
  for (const image of images) await unpackIfFit(job, unpacks, image);
  const saved = async (descriptor: Descriptor, names: readonly string[]) => {
    if (names.length === 0) return;
    for (const image of await storeImages(client, store, descriptor, names))
      progress.report({ event: "saved", name: image.name, descriptor });
  };
  await saved(index, storedNames(store, index));
  for (const entry of await childrenOf(client, index)) await saved(entry, importedNames(store, entry));
  progress.report({ event: "Completed import" });
}

/** The archive's own index, or one of Docker's images with their names as annotations; it is in the store then. */
async function indexOf(
  client: ContainerdClient,
  archive: Archive,
  compress: boolean,
  signal: AbortSignal,
): Promise<Descriptor> {
  const layout = archive.isLayout ? archive.document("index.json") : undefined;
  const bytes = layout ?? (await dockerIndex(client, archive, compress, signal));
  const written = await ingestBlob(
    client,
    { ref: `corten-index-${crypto.randomUUID()}`, signal },
    once(bytes),
  );
  return { mediaType: mediaTypes.ociIndex, ...written };
}

async function dockerIndex(
  client: ContainerdClient,
  archive: Archive,
  compress: boolean,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const layerOf = async (layer: Descriptor) =>
    compress && layerCompression(layer.mediaType) === "none"
      ? compressLayer(client, layer, { compression: "gzip" }, signal)
      : layer;
  const manifests: Descriptor[] = [];
  for (const { target, names } of await archive.assembled(layerOf)) {
    const { os, architecture, variant } = await readConfig(client, target);
    const platform = os ? { platform: { architecture, os, ...(variant ? { variant } : {}) } } : {};
    const entry = { ...target, ...platform };
    if (names.length === 0) manifests.push(entry);
    for (const name of names)
      manifests.push({
        ...entry,
        annotations: {
          [imageNameAnnotation]: name,
          [refNameAnnotation]: refNameOf(name),
        },
      });
  }
  return new TextEncoder().encode(JSON.stringify({ schemaVersion: 2, manifests }));
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
