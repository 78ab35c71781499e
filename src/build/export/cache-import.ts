import { invalid, isCode, messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import {
  type ContainerdClient,
  fromDescriptor,
  type Resolver,
  readBlob,
} from "../../containerd/client/index.ts";
import type { Digest } from "../../oci/digest.ts";
import { digestOf } from "../../oci/digest.ts";
import {
  type Descriptor,
  type ImageConfig,
  type Index,
  isIndexType,
  isManifestType,
  type Manifest,
} from "../../oci/image-spec.ts";
import { formatReference, parseImageName } from "../../oci/reference.ts";
import { LayoutDirectory } from "../layout-directory.ts";
import type { BuildRequest, CacheSpec } from "../types.ts";
import {
  type CacheConfig,
  type CacheLayer,
  cacheConfigType,
  inlineField,
  keysOf,
  parseCacheConfig,
} from "./cache-format.ts";
import { type LayerSource, loadChain } from "./cache-load.ts";
import type { ExportContext, ImportedCache, ImportedRecord } from "./types.ts";

type ImportContext = Pick<ExportContext, "client" | "snapshotter" | "services">;

/** Where the documents and blobs of a cache are. */
interface Place extends LayerSource {
  root: Descriptor;
  readJson(descriptor: Descriptor): Promise<unknown>;
}

/**
 * Reads the manifest and the config of a cache; undefined when there is none (a first build), which is no failure: a cache
 * that cannot be read is a warning, as with BuildKit.
 */
export async function importCache(
  spec: CacheSpec,
  request: BuildRequest,
  context: ImportContext,
): Promise<ImportedCache | undefined> {
  const name = `${spec.type}:${spec.attributes["ref"] ?? spec.directory ?? spec.attributes["src"] ?? ""}`;
  try {
    const place = await placeOf(spec, request, context);
    if (!place) return undefined;
    const found = await readCaches(place, place.root, 0);
    return found.length === 0 ? undefined : cacheOf(name, found, place, context);
  } catch (error) {
    // The user's own mistake is told; a cache that is not what it should be is only slower.
    if (request.signal.aborted || isMisuse(spec)) throw error;
    log.warn("a cache cannot be imported", { cache: name, error: messageOf(error) });
    return undefined;
  }
}

const isMisuse = (spec: CacheSpec): boolean =>
  spec.type === "local"
    ? !spec.directory && !spec.attributes["src"]
    : !spec.attributes["ref"] || !isName(spec.attributes["ref"]);

function isName(text: string): boolean {
  try {
    parseImageName(text);
    return true;
  } catch {
    return false;
  }
}

async function placeOf(
  spec: CacheSpec,
  request: BuildRequest,
  context: ImportContext,
): Promise<Place | undefined> {
  if (spec.type === "local") return directoryPlace(spec);
  const ref = spec.attributes["ref"];
  if (ref === undefined || ref === "") throw invalid(`cache type=${spec.type} needs ref=NAME`);
  const name = formatReference(parseImageName(ref));
  // A local image that has its cache in it needs no registry.
  const local = await localPlace(context.client, name);
  if (local && (await readCaches(local, local.root, 0).catch(() => [])).length > 0) return local;
  return registryPlace(name, request, context);
}

async function directoryPlace({ attributes, directory }: CacheSpec): Promise<Place | undefined> {
  const path = directory ?? attributes["src"];
  if (path === undefined || path === "") throw invalid("cache type=local needs src=DIRECTORY");
  const layout = LayoutDirectory.open(path);
  const digest = attributes["digest"];
  let root: Descriptor | undefined;
  try {
    root = await layout.find(digest ? { digest } : { tag: attributes["tag"] || "latest" });
  } catch (error) {
    if (isCode(error, "not_found")) return undefined;
    throw error;
  }
  if (!root) return undefined;
  return {
    root,
    readJson: (descriptor) => layout.readJson(descriptor),
    open: async (descriptor, offset) => layout.blob(descriptor.digest, offset),
  };
}

async function localPlace(client: ContainerdClient, name: string): Promise<Place | undefined> {
  try {
    const { image } = await client.images.get({ name });
    return {
      root: fromDescriptor(image?.target),
      readJson: async ({ digest }) => JSON.parse(new TextDecoder().decode(await readBlob(client, digest))),
      // What is here already is never asked for.
      open: async ({ digest }) => {
        throw invalid(`layer ${digest} of ${name} is not in the store`);
      },
    };
  } catch (error) {
    if (isCode(error, "not_found")) return undefined;
    throw error;
  }
}

async function registryPlace(
  name: string,
  request: BuildRequest,
  { services }: ImportContext,
): Promise<Place | undefined> {
  if (!services.registry) return undefined;
  const resolver: Resolver = services.registry(request.auth, request.signal);
  let root: Descriptor;
  try {
    root = (await resolver.resolve(name)).descriptor;
  } catch (error) {
    resolver.close();
    if (isCode(error, "not_found")) return undefined;
    throw error;
  }
  const fetcher = resolver.fetcher(name);
  return {
    root,
    async readJson(descriptor) {
      const parts: Uint8Array[] = [];
      let size = 0;
      for await (const part of await fetcher.fetch(descriptor)) {
        size += part.length;
        if (size > 64 << 20) throw invalid(`${descriptor.digest} of ${name} is too large`);
        parts.push(part);
      }
      const bytes = Buffer.concat(parts);
      if (digestOf(bytes) !== descriptor.digest) throw invalid(`${descriptor.digest} of ${name} is damaged`);
      return JSON.parse(bytes.toString("utf8"));
    },
    open: (descriptor, offset) => fetcher.fetch(descriptor, offset),
  };
}

/** The caches of a manifest or index: one of its own, or those of an image per platform. */
async function readCaches(place: Place, descriptor: Descriptor, depth: number): Promise<CacheConfig[]> {
  if (depth > 2) return [];
  if (isIndexType(descriptor.mediaType)) {
    const { manifests = [] } = (await place.readJson(descriptor)) as Partial<Index>;
    const config = manifests.find((one) => one.mediaType === cacheConfigType);
    if (config) return [parseCacheConfig(await place.readJson(config))];
    const found: CacheConfig[] = [];
    for (const child of manifests)
      if (isManifestType(child.mediaType) && child.platform?.os !== "unknown")
        found.push(...(await readCaches(place, child, depth + 1).catch(() => [])));
    return found;
  }
  if (!isManifestType(descriptor.mediaType)) return [];
  const manifest = (await place.readJson(descriptor)) as Partial<Manifest>;
  if (!manifest.config) return [];
  const config = await place.readJson(manifest.config);
  if (manifest.config.mediaType === cacheConfigType) return [parseCacheConfig(config)];
  return inlineCache(config as ImageConfig & { [inlineField]?: unknown }, manifest.layers ?? []);
}

/** The cache in an image's config: its layers are the image's. */
function inlineCache(
  config: ImageConfig & { [inlineField]?: unknown },
  blobs: readonly Descriptor[],
): CacheConfig[] {
  const text = config[inlineField];
  const diffIds = config.rootfs?.diff_ids ?? [];
  if (typeof text !== "string" || diffIds.length !== blobs.length) return [];
  const records: unknown = JSON.parse(Buffer.from(text, "base64").toString("utf8"));
  const { records: checked } = parseCacheConfig({ records }, blobs.length);
  const layers = blobs.map(
    (blob, at): CacheLayer => ({
      blob: blob.digest,
      parent: at - 1,
      annotations: { mediaType: blob.mediaType, diffID: diffIds[at]!, size: blob.size, createdAt: "" },
    }),
  );
  return [{ layers, records: checked }];
}

function cacheOf(
  name: string,
  configs: readonly CacheConfig[],
  place: Place,
  context: ImportContext,
): ImportedCache {
  const records = new Map<Digest, ImportedRecord>();
  for (const config of configs)
    for (const [key, entry] of keysOf(config.records)) {
      const result = entry.layers![0]!;
      const chain = chainOf(config.layers, result.layer);
      if (!chain || records.has(key)) continue;
      records.set(key, {
        key: entry.digest,
        load: (client, signal) =>
          loadChain(client, context.snapshotter, chain, place, result.createdAt, signal),
      });
    }
  return { name, lookup: (key) => records.get(key) };
}

/** A layer and all below it, bottom first; undefined when they run in a circle. */
function chainOf(layers: readonly CacheLayer[], top: number): CacheLayer[] | undefined {
  const chain: CacheLayer[] = [];
  for (let at = top; at >= 0; at = layers[at]!.parent) {
    if (chain.length > layers.length) return undefined;
    chain.unshift(layers[at]!);
  }
  return chain;
}
