import type { Image } from "../../../proto/gen/containerd/services/images/v1/images_pb.ts";
import type { ImageStore } from "../../../proto/gen/containerd/types/transfer/imagestore_pb.ts";
import type { ImageExportStream } from "../../../proto/gen/containerd/types/transfer/importexport_pb.ts";
import { invalid, messageOf, notFound, unimplemented } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import type { Digest } from "../../oci/digest.ts";
import { type Descriptor, isIndexType, isManifestType, isNonDistributable } from "../../oci/image-spec.ts";
import { onlyPlatform, type PlatformMatcher } from "../../oci/platform.ts";
import { familiarReference, parseReference, withDefaultTag } from "../../oci/reference.ts";
import { type DockerArchiveImage, writeImageArchive } from "../client/archive.ts";
import { fromDescriptor } from "../client/descriptor.ts";
import { hostPlatform, readManifest } from "../client/read-image.ts";
import type { ContainerdClient } from "../client/types.ts";
import type { ByteSender } from "../streaming/bytes.ts";
import { childrenOf, deepest, matcherFor } from "./descriptors.ts";
import { toPlatform } from "./ends.ts";
import type { TransferJob } from "./job.ts";
import { imageNameAnnotation, refNameAnnotation, refNameOf } from "./names.ts";

/** Images of the store as an archive: an image layout that is Docker's archive as well. */
export async function exportImages(
  job: TransferJob,
  store: ImageStore,
  wanted: ImageExportStream,
  out: ByteSender,
): Promise<void> {
  const { client, progress, signal } = job;
  progress.report({ event: "Exporting" });
  const images = await imagesOf(client, store);
  const platforms = wanted.platforms.map(toPlatform);
  const matcher = platforms.length > 0 ? matcherFor(platforms) : onlyPlatform(hostPlatform());
  const archive = new Collected(client, matcher, wanted);
  for (const image of images) await archive.add(image);
  const { manifests, blobs, docker } = archive;
  await writeImageArchive(
    client,
    {
      manifests,
      blobs: [...blobs.values()],
      ...(wanted.skipCompatibilityManifest || docker.size === 0
        ? {}
        : { docker: await dockerImages(client, docker) }),
    },
    (piece) => out.write(piece),
    signal,
  );
  progress.report({ event: "Completed export" });
}

async function imagesOf(client: ContainerdClient, store: ImageStore): Promise<Image[]> {
  const names = store.name === "" ? [] : [store.name];
  for (const { name, isPrefix } of store.extraReferences) {
    if (isPrefix) throw unimplemented("prefix lookup on export not implemented: not implemented");
    names.push(name);
  }
  const images: Image[] = [];
  for (const name of names) images.push((await client.images.get({ name })).image!);
  return images;
}

/** What goes into the archive, each blob once. */
class Collected {
  readonly #client: ContainerdClient;
  readonly #matcher: PlatformMatcher;
  readonly #wanted: ImageExportStream;
  readonly manifests: Descriptor[] = [];
  readonly blobs = new Map<Digest, Descriptor>();
  /** By the digest of the manifest that Docker is to see. */
  readonly docker = new Map<Digest, { manifest: Descriptor; names: string[] }>();

  constructor(client: ContainerdClient, matcher: PlatformMatcher, wanted: ImageExportStream) {
    this.#client = client;
    this.#matcher = matcher;
    this.#wanted = wanted;
  }

  async add({ name, target: message }: Image): Promise<void> {
    const target = fromDescriptor(message);
    let sources: Record<string, string>;
    try {
      const { info } = await this.#client.content.info({ digest: target.digest });
      const labels = Object.entries(info?.labels ?? {});
      sources = Object.fromEntries(
        labels.filter(([key]) => key.startsWith("containerd.io/distribution.source")),
      );
    } catch (error) {
      log.warn("failed to copy distribution.source labels", {
        digest: target.digest,
        error: messageOf(error),
      });
      return;
    }
    const annotations = Object.entries({
      ...target.annotations,
      [imageNameAnnotation]: name,
      [refNameAnnotation]: refNameOf(name),
      ...sources,
    });
    // In the order that Go writes them: the same images then have the same index.
    annotations.sort(([a], [b]) => (a < b ? -1 : 1));
    this.manifests.push({ ...target, annotations: Object.fromEntries(annotations) });
    const shown = isManifestType(target.mediaType) ? await this.#image(target) : await this.#index(target);
    if (shown) this.docker.get(shown)!.names.push(name);
  }

  async #image(target: Descriptor): Promise<Digest> {
    await this.#collect(target, 0);
    this.#show(target);
    return target.digest;
  }

  /** The index as it is, with what it has for the platforms. */
  async #index(target: Descriptor): Promise<Digest | undefined> {
    if (!isIndexType(target.mediaType)) throw invalid("only manifests may be exported: invalid argument");
    this.blobs.set(target.digest, target);
    const fit: Array<{ entry: Descriptor; rank: number }> = [];
    for (const entry of await childrenOf(this.#client, target)) {
      const rank = entry.platform ? this.#matcher(entry.platform) : Number.MAX_SAFE_INTEGER;
      if (rank !== undefined) fit.push({ entry, rank });
      else if (!this.#wanted.allPlatforms) continue;
      await this.#collect(entry, 1);
    }
    const best = fit.sort((a, b) => a.rank - b.rank)[0]?.entry;
    if (!best) throw notFound("no manifest found for platform: not found");
    if (!isManifestType(best.mediaType)) return undefined;
    this.#show(best);
    return best.digest;
  }

  #show(manifest: Descriptor): void {
    if (!this.docker.has(manifest.digest)) this.docker.set(manifest.digest, { manifest, names: [] });
  }

  async #collect(descriptor: Descriptor, depth: number): Promise<void> {
    if (depth > deepest) throw invalid(`${descriptor.digest} is nested too deep: invalid argument`);
    if (this.#wanted.skipNonDistributable && isNonDistributable(descriptor.mediaType)) return;
    if (this.blobs.has(descriptor.digest)) return;
    this.blobs.set(descriptor.digest, descriptor);
    for (const child of await childrenOf(this.#client, descriptor)) await this.#collect(child, depth + 1);
  }
}

async function dockerImages(
  client: ContainerdClient,
  shown: Collected["docker"],
): Promise<DockerArchiveImage[]> {
  const images: DockerArchiveImage[] = [];
  for (const { manifest: descriptor, names } of shown.values()) {
    const { manifest } = await readManifest(client, descriptor);
    images.push({
      config: manifest.config.digest,
      repoTags: names.map((name) => familiarReference(withDefaultTag(parseReference(name)))),
      layers: manifest.layers.map(({ digest }) => digest),
    });
  }
  return images;
}
