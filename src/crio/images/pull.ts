import { randomBytes } from "node:crypto";
import { Limiter } from "../../base/async.ts";
import { CortenError, invalid, isCode, notFound } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import { span } from "../../base/trace.ts";
import type { Digest } from "../../oci/digest.ts";
import { chainIds, choosePlatform, hostPlatform } from "../../oci/image-content.ts";
import {
  type Descriptor,
  type ImageConfig,
  type Index,
  isIndexType,
  isManifestType,
  type Manifest,
} from "../../oci/image-spec.ts";
import type { Fetcher } from "../../registry/index.ts";
import { applyLayer } from "../../store/index.ts";
import type { ImageRecord } from "./records.ts";
import { extracting, type ImageStore } from "./store.ts";

/** No manifest, index or configuration is larger. */
const documentLimit = 16 << 20;
const layersAtOnce = 3;
/** Layers of an image; the kernel stacks 500. */
const layersLimit = 500;

export interface PullJob {
  store: ImageStore;
  fetcher: Fetcher;
  signal: AbortSignal;
  /** Bytes of blobs as they come. */
  onBytes(count: number): void;
}

/** Fetches an image and unpacks its layers; recording it is up to the caller. */
export async function fetchImage(job: PullJob, target: Descriptor): Promise<ImageRecord> {
  const content: Digest[] = [];
  const manifest = await findManifest(job, target, content, 0);
  if (!manifest) throw notFound(`no manifest of ${target.digest} is for this machine`);
  if (manifest.layers.length > layersLimit) throw invalid(`the image has ${manifest.layers.length} layers`);
  const config = await fetchDocument<ImageConfig>(job, manifest.config, content);
  const diffIds = config.rootfs?.diff_ids ?? [];
  if (diffIds.length !== manifest.layers.length)
    throw invalid(`the image has ${manifest.layers.length} layers but ${diffIds.length} diff ids`);
  const chain = chainIds(diffIds);
  await unpackLayers(job, manifest.layers, diffIds, chain);
  const size = [manifest.config, ...manifest.layers].reduce((sum, blob) => sum + blob.size, 0);
  return { id: manifest.config.digest, target: target.digest, size, config, chainIds: chain, content };
}

async function findManifest(
  job: PullJob,
  descriptor: Descriptor,
  content: Digest[],
  depth: number,
): Promise<Manifest | undefined> {
  if (depth > 4) throw invalid(`index ${descriptor.digest} is nested too deep`);
  if (isManifestType(descriptor.mediaType)) {
    const manifest = await fetchDocument<Manifest>(job, descriptor, content);
    if (!manifest.config?.digest || !Array.isArray(manifest.layers))
      throw invalid(`manifest ${descriptor.digest} has no config or no layers`);
    return manifest;
  }
  if (!isIndexType(descriptor.mediaType))
    throw invalid(`unexpected media type ${descriptor.mediaType} for ${descriptor.digest}`);
  const index = await fetchDocument<Index>(job, descriptor, content);
  for (const entry of choosePlatform(index, hostPlatform())) {
    const found = await findManifest(job, entry, content, depth + 1);
    if (found) return found;
  }
  return undefined;
}

/** A JSON object by its digest, out of the store or the registry. */
async function fetchDocument<T>(job: PullJob, descriptor: Descriptor, content: Digest[]): Promise<T> {
  if (descriptor.size > documentLimit)
    throw new CortenError("resource_exhausted", `${descriptor.digest} has ${descriptor.size} bytes`);
  await fetchBlob(job, descriptor);
  content.push(descriptor.digest);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(await job.store.content.readAll(descriptor.digest)));
  } catch (error) {
    throw invalid(`${descriptor.digest} is not JSON`, error);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw invalid(`${descriptor.digest} is not a JSON object`);
  return value as T;
}

/** A blob that is there already is not asked for. */
async function fetchBlob({ store, fetcher, signal, onBytes }: PullJob, blob: Descriptor): Promise<void> {
  try {
    await using writer = await store.content.writer(`blob-${blob.digest}`, {
      expected: blob.digest,
      total: blob.size,
      waitMilliseconds: 600_000,
    });
    signal.throwIfAborted();
    const stream = await fetcher.fetch(blob, writer.offset);
    for await (const chunk of stream) {
      signal.throwIfAborted();
      await writer.write(chunk);
      onBytes(chunk.length);
    }
    await writer.commit({ size: blob.size, expected: blob.digest });
  } catch (error) {
    if (!isCode(error, "already_exists")) throw error;
  }
}

async function exists(store: ImageStore, name: string): Promise<boolean> {
  try {
    await store.snapshots.stat(name);
    return true;
  } catch (error) {
    if (isCode(error, "not_found")) return false;
    throw error;
  }
}

/** Downloads side by side, unpacks from the bottom. What is unpacked from an earlier image is not downloaded. */
async function unpackLayers(
  job: PullJob,
  layers: readonly Descriptor[],
  diffIds: readonly Digest[],
  chain: readonly Digest[],
): Promise<void> {
  const { store } = job;
  let have = chain.length;
  while (have > 0 && !(await exists(store, chain[have - 1]!))) have--;
  const abort = new AbortController();
  const downloading = { ...job, signal: AbortSignal.any([job.signal, abort.signal]) };
  const limiter = new Limiter(layersAtOnce);
  const downloads = new Map<Digest, Promise<void>>();
  for (const layer of layers.slice(have))
    if (!downloads.has(layer.digest)) {
      const download = limiter.run(() =>
        span("registry", `fetch ${layer.digest}`, () => fetchBlob(downloading, layer)),
      );
      download.catch(() => {});
      downloads.set(layer.digest, download);
    }
  try {
    for (let index = have; index < layers.length; index++) {
      await downloads.get(layers[index]!.digest);
      job.signal.throwIfAborted();
      await store.unpacking.run(chain[index]!, () =>
        unpackLayer(store, layers[index]!, diffIds[index]!, chain[index]!, chain[index - 1] ?? ""),
      );
    }
  } catch (error) {
    abort.abort();
    await Promise.allSettled(downloads.values());
    throw error;
  }
}

async function unpackLayer(
  store: ImageStore,
  layer: Descriptor,
  diffId: Digest,
  name: string,
  parent: string,
): Promise<void> {
  if (await exists(store, name)) return;
  const key = `${extracting}${randomBytes(6).toString("hex")} ${name}`;
  const mounts = await store.snapshots.prepare(key, parent);
  try {
    await span("store", `unpack ${layer.digest}`, () =>
      applyLayer({ mounts }, { path: store.content.path(layer.digest) }, { expectedDiffId: diffId }),
    );
    await store.snapshots.commit(name, key);
  } catch (error) {
    await store.snapshots
      .remove(key)
      .catch((failure) => log.debug("a layer's rest", { error: String(failure) }));
    throw error;
  }
}
