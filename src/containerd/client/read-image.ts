import { invalid, notFound } from "../../base/errors.ts";
import type { Digest } from "../../oci/digest.ts";
import { chainIds, choosePlatform, hostPlatform } from "../../oci/image-content.ts";
import {
  type Descriptor,
  type ImageConfig,
  type Index,
  isIndexType,
  isManifestType,
  type Manifest,
  type Platform,
} from "../../oci/image-spec.ts";
import { readBlob } from "./blob.ts";
import type { ContainerdClient, ImageContent } from "./types.ts";

export { chainIds, choosePlatform, hostPlatform };

/** Reads a JSON blob; a document that is no object is refused. */
export async function readJson<T>(client: ContainerdClient, digest: Digest, what: string): Promise<T> {
  const bytes = await readBlob(client, digest);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    throw invalid(`${what} ${digest} is not JSON`, error);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw invalid(`${what} ${digest} is not a JSON object`);
  return value as T;
}

/** Follows a descriptor through indexes to the manifest for `platform` (default: this machine's). */
export async function readManifest(
  client: ContainerdClient,
  target: Descriptor,
  platform: Platform = hostPlatform(),
): Promise<{ descriptor: Descriptor; manifest: Manifest }> {
  return readManifestAt(client, target, platform, 0);
}

async function readManifestAt(
  client: ContainerdClient,
  target: Descriptor,
  platform: Platform,
  depth: number,
): Promise<{ descriptor: Descriptor; manifest: Manifest }> {
  if (depth > 4) throw invalid(`index ${target.digest} is nested too deep`);
  if (isManifestType(target.mediaType)) {
    const manifest = await readJson<Manifest>(client, target.digest, "manifest");
    if (!manifest.config?.digest || !Array.isArray(manifest.layers))
      throw invalid(`manifest ${target.digest} has no config or no layers`);
    return { descriptor: target, manifest };
  }
  if (!isIndexType(target.mediaType))
    throw invalid(`unexpected media type ${target.mediaType} for ${target.digest}`);
  const index = await readJson<Index>(client, target.digest, "index");
  let missing: unknown;
  for (const descriptor of choosePlatform(index, platform)) {
    try {
      return await readManifestAt(client, descriptor, platform, depth + 1);
    } catch (error) {
      missing = error;
    }
  }
  const name = [platform.os, platform.architecture, platform.variant].filter(Boolean).join("/");
  throw notFound(`no match for platform ${name} in manifest ${target.digest}`, missing);
}

/** The image's configuration document for `platform`. */
export async function readConfig(
  client: ContainerdClient,
  target: Descriptor,
  platform?: Platform,
): Promise<ImageConfig> {
  return (await readImage(client, target, platform)).config;
}

/** Manifest, configuration and chain ids of an image in the content store. */
export async function readImage(
  client: ContainerdClient,
  target: Descriptor,
  platform?: Platform,
): Promise<ImageContent> {
  const { descriptor, manifest } = await readManifest(client, target, platform);
  const config = await readJson<ImageConfig>(client, manifest.config.digest, "image config");
  const diffIds = config.rootfs?.diff_ids ?? [];
  if (diffIds.length !== manifest.layers.length)
    throw invalid(
      `image ${target.digest} has ${manifest.layers.length} layers but ${diffIds.length} diff ids`,
    );
  return { target, manifestDescriptor: descriptor, manifest, config, diffIds, chainIds: chainIds(diffIds) };
}
