/** How transfers walk from an image's descriptor to what it is made of. */
import { isCode } from "../../base/errors.ts";
import type { Digest } from "../../oci/digest.ts";
import {
  type Descriptor,
  type Index,
  isConfigType,
  isIndexType,
  isLayerType,
  isManifestType,
  type Platform,
} from "../../oci/image-spec.ts";
import { exactPlatform, type PlatformMatcher } from "../../oci/platform.ts";
import { readJson, readManifest } from "../client/read-image.ts";
import type { ContainerdClient } from "../client/types.ts";

/** No image is nested deeper. */
export const deepest = 5;

/** containerd's name for the work on a piece of content: of its ingest, and in progress. */
export function refKey(descriptor: Descriptor): string {
  const { mediaType, digest, annotations } = descriptor;
  const name = annotations?.["org.opencontainers.image.ref.name"];
  const key = name === undefined ? digest : `${name}@${digest}`;
  if (isManifestType(mediaType)) return `manifest-${key}`;
  if (isIndexType(mediaType)) return `index-${key}`;
  if (isLayerType(mediaType)) return `layer-${key}`;
  if (isConfigType(mediaType)) return `config-${key}`;
  return mediaType === "application/vnd.in-toto+json" ? `attestation-${key}` : `unknown-${key}`;
}

/** What a manifest or an index refers to; nothing for all else. Its content is in the store. */
export async function childrenOf(client: ContainerdClient, descriptor: Descriptor): Promise<Descriptor[]> {
  if (isIndexType(descriptor.mediaType))
    return (await readJson<Index>(client, descriptor.digest, "index")).manifests ?? [];
  if (!isManifestType(descriptor.mediaType)) return [];
  const { manifest } = await readManifest(client, descriptor);
  return [manifest.config, ...manifest.layers];
}

/** Labels content with what it refers to, so that the collector keeps that. */
export async function labelChildren(
  client: ContainerdClient,
  { digest, mediaType }: Descriptor,
  children: readonly Descriptor[],
): Promise<void> {
  const key = (name: string) => `containerd.io/gc.ref.content.${name}`;
  const isIndex = isIndexType(mediaType);
  const labels: Record<string, string> = {};
  // Of a manifest the first is its configuration.
  for (const [at, child] of children.entries())
    labels[key(isIndex ? `m.${at}` : at === 0 ? "config" : `l.${at - 1}`)] = child.digest;
  const paths = Object.keys(labels).map((key) => `labels.${key}`);
  if (paths.length > 0) await client.content.update({ info: { digest, labels }, updateMask: { paths } });
}

/** Any of these platforms, the first wanted first; every platform when none is named. */
export function matcherFor(platforms: readonly Platform[]): PlatformMatcher {
  const matchers = platforms.map(exactPlatform);
  if (matchers.length === 0) return () => 0;
  return (candidate) => {
    const at = matchers.findIndex((matches) => matches(candidate) !== undefined);
    return at < 0 ? undefined : at;
  };
}

export interface ChildFilter {
  matcher: PlatformMatcher;
  /** Manifests and configurations of other platforms as well, without their layers. */
  allMetadata: boolean;
  /** How many manifests of an index at most, the best first; 0 for all. */
  limit: number;
}

/** The children of `parent` that are wanted (containerd's FilterPlatforms, FilterManifestByPlatformHandler, LimitManifests). */
export function wantedChildren(
  parent: Descriptor,
  children: readonly Descriptor[],
  { matcher, allMetadata, limit }: ChildFilter,
): Descriptor[] {
  const rank = ({ platform }: Descriptor) => (platform ? matcher(platform) : Number.MAX_SAFE_INTEGER);
  let wanted = [...children];
  if (!allMetadata) wanted = wanted.filter((child) => rank(child) !== undefined);
  else if (isManifestType(parent.mediaType) && rank(parent) === undefined)
    wanted = wanted.filter(({ mediaType }) => isConfigType(mediaType));
  if (limit === 0 || !isIndexType(parent.mediaType)) return wanted;
  const worst = Number.MAX_SAFE_INTEGER;
  return wanted.sort((a, b) => (rank(a) ?? worst) - (rank(b) ?? worst)).slice(0, limit);
}

/** Whether the store has it, for this namespace. */
export async function isHere(client: ContainerdClient, digest: Digest): Promise<boolean> {
  try {
    await client.content.info({ digest });
    return true;
  } catch (error) {
    if (isCode(error, "not_found")) return false;
    throw error;
  }
}
