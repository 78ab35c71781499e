import type { ImageStore } from "../../../proto/gen/containerd/types/transfer/imagestore_pb.ts";
import type { OCIRegistry } from "../../../proto/gen/containerd/types/transfer/registry_pb.ts";
import { Limiter } from "../../base/async.ts";
import { asCortenError, CortenError, messageOf } from "../../base/errors.ts";
import type { Digest } from "../../oci/digest.ts";
import { type Descriptor, isManifestType } from "../../oci/image-spec.ts";
import { parseReference, repositoryName } from "../../oci/reference.ts";
import type { Fetcher, Resolver } from "../../registry/index.ts";
import { writeBlob } from "../client/blob.ts";
import { holdIfPresent } from "../client/pull.ts";
import type { ContainerdClient } from "../client/types.ts";
import {
  type ChildFilter,
  childrenOf,
  deepest,
  labelChildren,
  matcherFor,
  refKey,
  wantedChildren,
} from "./descriptors.ts";
import { toPlatform } from "./ends.ts";
import { type TransferJob, unpackings } from "./job.ts";
import { ContentProgress } from "./progress.ts";
import { storeImages } from "./store.ts";
import { unpackAll } from "./unpack.ts";

/** Pieces of content fetched at once. */
const atOnce = 3;

/** A registry's image into the store: content of the platforms wanted, its snapshots, its names. */
export async function pullImage(
  job: TransferJob,
  registry: OCIRegistry,
  store: ImageStore,
  resolver: Resolver,
): Promise<void> {
  const { client, progress, signal } = job;
  const from = `OCI Registry (${registry.reference})`;
  progress.report({ event: `Resolving from ${from}` });
  const { name, descriptor: target } = await resolveImage(resolver, registry.reference);
  progress.report({ event: `Pulling from ${from}` });
  progress.report({ event: "fetching image content", name: registry.reference });
  const unpacks = await unpackings(job, store);
  const content = new ContentProgress(progress, registry.reference, "downloading");
  const stop = new AbortController();
  const fetching = new Fetching(client, {
    fetcher: resolver.fetcher(name),
    source: sourceOf(name),
    filter: {
      matcher: matcherFor(store.platforms.map(toPlatform)),
      allMetadata: store.allMetadata,
      limit: store.manifestLimit,
    },
    content,
    signal: AbortSignal.any([signal, stop.signal]),
  });
  try {
    await fetching.documents(target);
    fetching.startLayers();
    await unpackAll({ ...job, client }, unpacks, target, (layer) => fetching.layer(layer));
    await fetching.all();
  } catch (error) {
    stop.abort(error);
    throw error;
  } finally {
    // Nothing of ours may still be writing when the lease goes.
    await fetching.settled();
  }
  for (const image of await storeImages(client, store, target))
    progress.report({ event: "saved", name: image.name });
  progress.report({ event: `Completed pull from ${from}` });
}

async function resolveImage(resolver: Resolver, reference: string) {
  try {
    return await resolver.resolve(reference);
  } catch (error) {
    const { code } = asCortenError(error);
    const why = code === "not_found" ? `${reference}: not found` : messageOf(error);
    throw new CortenError(code, `failed to resolve image: ${why}`, { cause: error });
  }
}

interface FetchingOptions {
  fetcher: Fetcher;
  /** Labels that say where content is from. */
  source: Record<string, string>;
  filter: ChildFilter;
  content: ContentProgress;
  signal: AbortSignal;
}

/** An image's content on its way: first its documents, which tell of the layers, then those. */
class Fetching {
  readonly #client: ContainerdClient;
  readonly #options: FetchingOptions;
  readonly #limiter = new Limiter(atOnce);
  readonly #documents = new Map<Digest, Promise<void>>();
  readonly #wanted = new Map<Digest, Descriptor>();
  readonly #layers = new Map<Digest, Promise<void>>();

  constructor(client: ContainerdClient, options: FetchingOptions) {
    this.#client = client;
    this.#options = options;
  }

  /** Indexes, manifests, configurations. */
  documents(descriptor: Descriptor, parent?: Descriptor, depth = 0): Promise<void> {
    this.#options.content.waiting(descriptor, parent);
    const before = this.#documents.get(descriptor.digest);
    if (before) return before;
    const work = this.#document(descriptor, depth);
    work.catch(() => {});
    this.#documents.set(descriptor.digest, work);
    return work;
  }

  async #document(descriptor: Descriptor, depth: number): Promise<void> {
    if (depth > deepest)
      throw new CortenError("invalid_argument", `${descriptor.digest} is nested too deep: invalid argument`);
    await this.#limiter.run(() => this.#fetch(descriptor));
    const children = await childrenOf(this.#client, descriptor);
    await labelChildren(this.#client, descriptor, children);
    const below: Promise<void>[] = [];
    for (const child of wantedChildren(descriptor, children, this.#options.filter)) {
      const isLayer = isManifestType(descriptor.mediaType) && child !== children[0];
      if (!isLayer) below.push(this.documents(child, descriptor, depth + 1));
      else {
        this.#options.content.waiting(child, descriptor);
        this.#wanted.set(child.digest, child);
      }
    }
    await Promise.all(below);
  }

  startLayers(): void {
    for (const [digest, layer] of this.#wanted) {
      const work = this.#limiter.run(() => this.#fetch(layer));
      work.catch(() => {});
      this.#layers.set(digest, work);
    }
  }

  /** Resolves when this layer is there; rejects as soon as any fails. */
  async layer({ digest }: Descriptor): Promise<void> {
    const failure = new Promise<never>((_, reject) => {
      for (const work of this.#layers.values()) work.catch(reject);
    });
    await Promise.race([this.#layers.get(digest), failure]);
  }

  async all(): Promise<void> {
    await Promise.all(this.#layers.values());
  }

  async settled(): Promise<void> {
    await Promise.allSettled([...this.#documents.values(), ...this.#layers.values()]);
  }

  async #fetch(descriptor: Descriptor): Promise<void> {
    const { fetcher, content, signal, source } = this.#options;
    signal.throwIfAborted();
    const { digest, size } = descriptor;
    const fresh =
      !(await holdIfPresent(this.#client, digest)) &&
      (await writeBlob(
        this.#client,
        {
          ref: refKey(descriptor),
          digest,
          size,
          labels: source,
          signal,
          onProgress: (offset) => content.underway(descriptor, offset),
        },
        (offset) => fetcher.fetch(descriptor, offset),
      ));
    if (!fresh) {
      await holdIfPresent(this.#client, digest);
      await this.#addSource(digest);
    }
    content.over(descriptor, fresh ? "complete" : "already exists");
  }

  /** Content that was here before is from this repository, too. */
  async #addSource(digest: Digest): Promise<void> {
    for (const [key, repository] of Object.entries(this.#options.source)) {
      const { info } = await this.#client.content.info({ digest });
      const before = info?.labels[key]?.split(",") ?? [];
      if (before.includes(repository)) continue;
      const labels = { [key]: [...before, repository].sort().join(",") };
      await this.#client.content.update({
        info: { digest, labels },
        updateMask: { paths: [`labels.${key}`] },
      });
    }
  }
}

/** The label that names the repository; the registry is without its port. */
function sourceOf(name: string): Record<string, string> {
  const reference = parseReference(name);
  const host = reference.domain.replace(/:\d+$/, "");
  const repository = repositoryName(reference).slice(reference.domain.length + 1);
  return { [`containerd.io/distribution.source.${host}`]: repository };
}
