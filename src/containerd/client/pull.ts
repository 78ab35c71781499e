import type { Image } from "../../../proto/gen/containerd/services/images/v1/images_pb.ts";
import { Limiter } from "../../base/async.ts";
import { isCode } from "../../base/errors.ts";
import { span } from "../../base/trace.ts";
import type { Digest } from "../../oci/digest.ts";
import {
  type Descriptor,
  type ImageConfig,
  type Index,
  isIndexType,
  isNonDistributable,
  type Manifest,
  type Platform,
} from "../../oci/image-spec.ts";
import type { Fetcher, Resolver } from "../../registry/index.ts";
import { writeBlob } from "./blob.ts";
import { fromDescriptor, toDescriptor } from "./descriptor.ts";
import { withLease } from "./lease.ts";
import { chainIds, choosePlatform, hostPlatform, readImage, readJson, readManifest } from "./read-image.ts";
import type { ContainerdClient, ImageContent, LayerProgress } from "./types.ts";
import { shortId, unpackLayers } from "./unpack.ts";

export interface PullOptions {
  /** What the resolver is asked for: `docker.io/library/busybox:latest`, `localhost:5000/x@sha256:…`. */
  ref: string;
  resolver: Resolver;
  /** Name of the image record; default: the resolver's canonical text. */
  name?: string;
  /** Default: this machine's. */
  platform?: Platform;
  /** Default "overlayfs"; `false`: no unpacking. */
  snapshotter?: string | false;
  /** Labels of the image record. */
  labels?: Record<string, string>;
  /** Layers downloaded at once; default 3, as Docker. */
  concurrency?: number;
  onResolved?: (name: string, target: Descriptor) => void;
  onProgress?: (progress: LayerProgress) => void;
  signal?: AbortSignal;
}

export interface PulledImage {
  image: Image;
  content: ImageContent;
  /** False when the record pointed at the same target before ("Image is up to date"). */
  changed: boolean;
}

/**
 * Pulls an image: resolve, manifests, then config and layers side by side while finished layers are unpacked
 * in order, then the record. A lease holds everything until the record does. Works against any containerd.
 */
export async function pull(client: ContainerdClient, options: PullOptions): Promise<PulledImage> {
  const { name: resolved, descriptor: target } = await span("registry", "resolve", () =>
    options.resolver.resolve(options.ref),
  );
  const name = options.name ?? resolved;
  options.onResolved?.(name, target);
  return withLease(client, async (leased) => {
    const job = new PullJob(leased, options, options.resolver.fetcher(resolved), resolved);
    const content = await job.run(target);
    const { image, changed } = await putImage(leased, name, target, options.labels ?? {});
    return { image, content, changed };
  });
}

/** The content of an image without a record of it: what holds it is the lease that `client` has. */
export function fetchContent(
  client: ContainerdClient,
  target: Descriptor,
  fetcher: Fetcher,
  options: Pick<PullOptions, "platform" | "onProgress" | "signal">,
): Promise<ImageContent> {
  return new PullJob(client, { ...options, snapshotter: false }, fetcher, "").run(target);
}

class PullJob {
  readonly #client: ContainerdClient;
  readonly #options: Omit<PullOptions, "ref" | "resolver">;
  readonly #fetcher: Fetcher;
  readonly #source: Record<string, string>;
  /** Stops the other downloads when one fails. */
  readonly #abort = new AbortController();
  readonly #signal: AbortSignal;

  constructor(
    client: ContainerdClient,
    options: Omit<PullOptions, "ref" | "resolver">,
    fetcher: Fetcher,
    ref: string,
  ) {
    this.#client = client;
    this.#options = options;
    this.#fetcher = fetcher;
    this.#source = sourceLabel(ref);
    this.#signal = options.signal
      ? AbortSignal.any([options.signal, this.#abort.signal])
      : this.#abort.signal;
  }

  async run(target: Descriptor): Promise<ImageContent> {
    await this.#fetchManifests(target, 0);
    const platform = this.#options.platform ?? hostPlatform();
    const { descriptor, manifest } = await readManifest(this.#client, target, platform);
    const limiter = new Limiter(this.#options.concurrency ?? 3);
    const layers = this.#uniqueLayers(manifest);
    for (const layer of layers) this.#report(layer, "Pulling fs layer");
    const config = this.#fetchBlob(manifest.config);
    const downloads = new Map<Digest, Promise<unknown>>(
      layers.map((layer) => [layer.digest, limiter.run(() => this.#fetchLayer(layer))]),
    );
    try {
      const content = await this.#finish(target, descriptor, manifest, config, downloads);
      await Promise.all(downloads.values());
      return content;
    } catch (error) {
      this.#abort.abort(error);
      throw error;
    } finally {
      // Nothing of ours may still be writing when the lease goes.
      await Promise.allSettled([config, ...downloads.values()]);
    }
  }

  async #finish(
    target: Descriptor,
    manifestDescriptor: Descriptor,
    manifest: Manifest,
    config: Promise<unknown>,
    downloads: Map<Digest, Promise<unknown>>,
  ): Promise<ImageContent> {
    await config;
    const document = await readJson<ImageConfig>(this.#client, manifest.config.digest, "image config");
    if (this.#options.snapshotter === false || !document.rootfs) {
      await Promise.all(downloads.values());
      const diffIds = document.rootfs?.diff_ids ?? [];
      return {
        target,
        manifestDescriptor,
        manifest,
        config: document,
        diffIds,
        chainIds: chainIds(diffIds),
      };
    }
    const content = await readImage(this.#client, manifestDescriptor);
    await unpackLayers(
      this.#client,
      { ...content, target },
      {
        ...(this.#options.snapshotter ? { snapshotter: this.#options.snapshotter } : {}),
        ...(this.#options.onProgress ? { onProgress: this.#options.onProgress } : {}),
        signal: this.#signal,
      },
      // A download that fails ends the pull at once, not only when its turn to be unpacked comes.
      (index) => firstFailure(downloads, manifest.layers[index]!.digest),
    );
    return { ...content, target };
  }

  /** The target and, below an index, the manifest for our platform; each with references for the collector. */
  async #fetchManifests(descriptor: Descriptor, depth: number): Promise<void> {
    await this.#fetchBlob(descriptor);
    if (depth > 4) return;
    if (!isIndexType(descriptor.mediaType)) {
      const { manifest } = await readManifest(this.#client, descriptor);
      const references = [
        ["config", manifest.config.digest] as const,
        ...manifest.layers.map((layer, index) => [`l.${index}`, layer.digest] as const),
      ];
      await this.#refer(descriptor.digest, references);
      return;
    }
    const index = await readJson<Index>(this.#client, descriptor.digest, "index");
    await this.#refer(
      descriptor.digest,
      (index.manifests ?? []).map((child, at) => [`m.${at}`, child.digest] as const),
    );
    const chosen = choosePlatform(index, this.#options.platform ?? hostPlatform())[0];
    if (chosen) await this.#fetchManifests(chosen, depth + 1);
  }

  async #refer(digest: Digest, references: ReadonlyArray<readonly [string, Digest]>): Promise<void> {
    const labels: Record<string, string> = {};
    for (const [key, child] of references) labels[`containerd.io/gc.ref.content.${key}`] = child;
    const paths = Object.keys(labels).map((key) => `labels.${key}`);
    if (paths.length === 0) return;
    await this.#client.content.update({ info: { digest, labels }, updateMask: { paths } });
  }

  #uniqueLayers(manifest: Manifest): Descriptor[] {
    const seen = new Set<Digest>();
    return manifest.layers.filter((layer) => !seen.has(layer.digest) && seen.add(layer.digest));
  }

  async #fetchLayer(layer: Descriptor): Promise<void> {
    this.#signal.throwIfAborted();
    let last = 0;
    const fresh = await span("registry", `fetch ${shortId(layer.digest)}`, () =>
      this.#fetchBlob(layer, (offset) => {
        const now = Date.now();
        if (offset < layer.size && now - last < 100) return;
        last = now;
        this.#report(layer, "Downloading", offset);
        if (offset === layer.size) this.#report(layer, "Verifying Checksum");
      }),
    );
    this.#report(layer, fresh ? "Download complete" : "Already exists");
  }

  /** False when the blob was in the store already; our lease holds it then as well. */
  async #fetchBlob(descriptor: Descriptor, onProgress?: (offset: number) => void): Promise<boolean> {
    if (await holdIfPresent(this.#client, descriptor.digest)) return false;
    const kind = isNonDistributable(descriptor.mediaType) ? "foreign" : "blob";
    const fresh = await writeBlob(
      this.#client,
      {
        ref: `${kind}-${descriptor.digest}`,
        digest: descriptor.digest,
        size: descriptor.size,
        labels: this.#source,
        signal: this.#signal,
        ...(onProgress ? { onProgress } : {}),
      },
      (offset) => this.#fetcher.fetch(descriptor, offset),
    );
    if (!fresh) await holdIfPresent(this.#client, descriptor.digest);
    return fresh;
  }

  #report(layer: Descriptor, status: LayerProgress["status"], current?: number): void {
    this.#options.onProgress?.({
      digest: layer.digest,
      id: shortId(layer.digest),
      status,
      ...(current === undefined ? {} : { current, total: layer.size }),
    });
  }
}

/** Resolves when `wanted` is there; rejects as soon as any download fails. */
async function firstFailure(downloads: Map<Digest, Promise<unknown>>, wanted: Digest): Promise<void> {
  const all = [...downloads.values()];
  const anyFails = new Promise<never>((_, reject) => {
    for (const download of all) download.catch(reject);
  });
  await Promise.race([downloads.get(wanted), anyFails]);
}

/** True when the content exists; the client's lease (if any) holds it from then on. */
export async function holdIfPresent(client: ContainerdClient, digest: Digest): Promise<boolean> {
  if (client.lease !== undefined)
    await client.leases.addResource({ id: client.lease, resource: { id: digest, type: "content" } });
  try {
    await client.content.info({ digest });
    return true;
  } catch (error) {
    if (isCode(error, "not_found")) return false;
    throw error;
  }
}

/** Where content came from; a push to the same registry can mount it from there. The host is without its port. */
function sourceLabel(ref: string): Record<string, string> {
  const slash = ref.indexOf("/");
  if (slash < 0) return {};
  const repository = ref
    .slice(slash + 1)
    .replace(/@.*$/, "")
    .replace(/:[^/]*$/, "");
  return { [`containerd.io/distribution.source.${ref.slice(0, slash).replace(/:\d+$/, "")}`]: repository };
}

/** Creates or moves an image record. */
export async function putImage(
  client: ContainerdClient,
  name: string,
  target: Descriptor,
  labels: Record<string, string>,
): Promise<{ image: Image; changed: boolean }> {
  const wanted = { name, target: toDescriptor(target), labels };
  for (;;) {
    try {
      const { image } = await client.images.create({ image: wanted });
      return { image: image!, changed: true };
    } catch (error) {
      if (!isCode(error, "already_exists")) throw error;
    }
    try {
      const { image: before } = await client.images.get({ name });
      const { image } = await client.images.update({ image: wanted });
      return { image: image!, changed: fromDescriptor(before?.target).digest !== target.digest };
    } catch (error) {
      // Deleted in between: create it again.
      if (!isCode(error, "not_found")) throw error;
    }
  }
}
