import { Limiter } from "../../base/async.ts";
import { CortenError, isCode, notFound } from "../../base/errors.ts";
import type { Digest } from "../../oci/digest.ts";
import {
  type Descriptor,
  type Index,
  isIndexType,
  isManifestType,
  isNonDistributable,
  type Platform,
} from "../../oci/image-spec.ts";
import type { Resolver } from "../../registry/index.ts";
import { blobStream } from "./blob.ts";
import { compressImage, type MissingBlobs } from "./compress-image.ts";
import { fromDescriptor } from "./descriptor.ts";
import { withLease } from "./lease.ts";
import { readJson, readManifest } from "./read-image.ts";
import type { ContainerdClient } from "./types.ts";
import { shortId } from "./unpack.ts";

/** Progress of one layer in the words of Docker's push. */
export interface PushLayerProgress {
  digest: Digest;
  id: string;
  status: "Preparing" | "Waiting" | "Pushing" | "Pushed" | "Layer already exists" | "Mounted from";
  current?: number;
  total?: number;
}

export interface PushOptions {
  /** Where to: `localhost:5000/x:tag`. */
  ref: string;
  resolver: Resolver;
  /** Name of the image record to push; default `ref`. */
  image?: string;
  /** What to push, instead of what a record points to. */
  target?: Descriptor;
  /** Layers that are not compressed are on the wire (manifests change with them); default: all as it is. */
  compression?: "gzip" | "zstd";
  /** Blobs pushed at once; default 5, as Docker. */
  concurrency?: number;
  platform?: Platform;
  onProgress?: (progress: PushLayerProgress) => void;
  signal?: AbortSignal;
}

/**
 * Pushes an image: blobs first, then the manifests from the leaves up. An index of which this store has only
 * some platforms cannot be pushed whole; then the manifest of `platform` goes under the tag, as Docker does.
 * Returns the descriptor the tag points to.
 */
export async function push(client: ContainerdClient, options: PushOptions): Promise<Descriptor> {
  const target = options.target ?? (await targetOf(client, options.image ?? options.ref));
  return withLease(client, (leased) => new PushJob(leased, options).run(target));
}

async function targetOf(client: ContainerdClient, name: string): Promise<Descriptor> {
  const { image } = await client.images.get({ name });
  if (!image) throw notFound(`image "${name}": not found`);
  return fromDescriptor(image.target);
}

class PushJob {
  readonly #client: ContainerdClient;
  readonly #options: PushOptions;
  readonly #limiter: Limiter;
  readonly #pushed = new Map<Digest, Promise<void>>();
  readonly #missing: MissingBlobs = new Map();

  constructor(client: ContainerdClient, options: PushOptions) {
    this.#client = client;
    this.#options = options;
    this.#limiter = new Limiter(options.concurrency ?? 5);
  }

  async run(image: Descriptor): Promise<Descriptor> {
    let target = image;
    if (isIndexType(image.mediaType) && !(await this.#isComplete(image)))
      target = (await readManifest(this.#client, image, this.#options.platform)).descriptor;
    const { compression } = this.#options;
    if (compression)
      target = await compressImage(
        this.#client,
        target,
        { compression },
        this.#missing,
        this.#options.signal,
      );
    await this.#pushTree(target, true);
    return target;
  }

  async #isComplete(index: Descriptor): Promise<boolean> {
    const { manifests = [] } = await readJson<Index>(this.#client, index.digest, "index");
    for (const child of manifests) {
      if (!(await this.#has(child.digest))) return false;
      if (isIndexType(child.mediaType)) {
        if (!(await this.#isComplete(child))) return false;
        continue;
      }
      if (!isManifestType(child.mediaType)) continue;
      const { manifest } = await readManifest(this.#client, child);
      for (const blob of [manifest.config, ...manifest.layers])
        if (!isNonDistributable(blob.mediaType) && !(await this.#has(blob.digest))) return false;
    }
    return true;
  }

  async #has(digest: Digest): Promise<boolean> {
    try {
      await this.#client.content.info({ digest });
      return true;
    } catch (error) {
      if (isCode(error, "not_found")) return false;
      throw error;
    }
  }

  async #pushTree(descriptor: Descriptor, root: boolean): Promise<void> {
    if (isIndexType(descriptor.mediaType)) {
      const { manifests = [] } = await readJson<Index>(this.#client, descriptor.digest, "index");
      for (const child of manifests)
        if (isIndexType(child.mediaType) || isManifestType(child.mediaType))
          await this.#pushTree(child, false);
        // Caches of builds list their blobs in an index.
        else await this.#pushBlob(child, true);
    } else {
      const { manifest } = await readManifest(this.#client, descriptor);
      const layers = manifest.layers.filter((layer) => !isNonDistributable(layer.mediaType));
      for (const layer of layers) this.#report(layer, "Preparing");
      await settleAll([
        this.#pushBlob(manifest.config, false),
        ...layers.map((layer) => this.#pushBlob(layer, true)),
      ]);
    }
    // Only the root goes under the tag; what is below is addressed by digest.
    const ref = root ? this.#options.ref : `${repositoryOf(this.#options.ref)}@${descriptor.digest}`;
    await this.#options.resolver
      .pusher(ref)
      .push(descriptor, () => blobStream(this.#client, descriptor.digest));
  }

  #pushBlob(descriptor: Descriptor, layer: boolean): Promise<void> {
    let work = this.#pushed.get(descriptor.digest);
    if (!work) {
      work = this.#limiter.run(() => this.#pushBlobNow(descriptor, layer));
      this.#pushed.set(descriptor.digest, work);
    }
    return work;
  }

  async #pushBlobNow(descriptor: Descriptor, layer: boolean): Promise<void> {
    this.#options.signal?.throwIfAborted();
    const make = this.#missing.get(descriptor.digest);
    const { info } = make ? {} : await this.#client.content.info({ digest: descriptor.digest });
    const pusher = this.#options.resolver.pusher(this.#options.ref);
    const mountFrom = sources(info?.labels ?? {}, this.#options.ref);
    const signal = this.#options.signal;
    const report = layer ? this.#report.bind(this) : () => {};
    const client = this.#client;
    const open = async function* () {
      let sent = 0;
      let last = 0;
      if (make) await make();
      for await (const data of blobStream(client, descriptor.digest)) {
        if (signal?.aborted) throw new CortenError("canceled", "context canceled");
        yield data;
        sent += data.byteLength;
        if (Date.now() - last < 100 && sent < descriptor.size) continue;
        last = Date.now();
        report(descriptor, "Pushing", sent);
      }
    };
    const state = await pusher.push(descriptor, open, { mountFrom });
    if (state === "exists") report(descriptor, "Layer already exists");
    else report(descriptor, state === "mounted" ? "Mounted from" : "Pushed");
  }

  #report(layer: Descriptor, status: PushLayerProgress["status"], current?: number): void {
    this.#options.onProgress?.({
      digest: layer.digest,
      id: shortId(layer.digest),
      status,
      ...(current === undefined ? {} : { current, total: layer.size }),
    });
  }
}

/** Waits for all before it fails with the first error: no upload goes on after we have returned. */
async function settleAll(work: Array<Promise<unknown>>): Promise<void> {
  const results = await Promise.allSettled(work);
  for (const result of results) if (result.status === "rejected") throw result.reason;
}

const repositoryOf = (ref: string): string => ref.replace(/@.*$/, "").replace(/:[^/:]*$/, "");

/** Repositories of the destination's registry that the blob came from (pull labels it so). */
function sources(labels: Record<string, string>, ref: string): string[] {
  const registry = ref.slice(0, ref.indexOf("/"));
  const label = labels[`containerd.io/distribution.source.${registry.replace(/:\d+$/, "")}`];
  const own = repositoryOf(ref).slice(registry.length + 1);
  return (label?.split(",") ?? []).filter((repository) => repository !== "" && repository !== own);
}
