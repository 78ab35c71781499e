import type { ImageStore } from "../../../proto/gen/containerd/types/transfer/imagestore_pb.ts";
import type { OCIRegistry } from "../../../proto/gen/containerd/types/transfer/registry_pb.ts";
import { Limiter } from "../../base/async.ts";
import { CortenError, invalid } from "../../base/errors.ts";
import type { Digest } from "../../oci/digest.ts";
import { type Descriptor, isIndexType, isManifestType, isNonDistributable } from "../../oci/image-spec.ts";
import { parseReference, repositoryName } from "../../oci/reference.ts";
import type { Resolver } from "../../registry/index.ts";
import { blobStream } from "../client/blob.ts";
import { fromDescriptor } from "../client/descriptor.ts";
import { childrenOf, deepest, matcherFor, wantedChildren } from "./descriptors.ts";
import { toPlatform } from "./ends.ts";
import type { TransferJob } from "./job.ts";
import { ContentProgress } from "./progress.ts";

/** Pieces of content sent at once. */
const atOnce = 3;

/** An image of the store to a registry: what it is made of first, its manifests after that, what has the tag last. */
export async function pushImage(
  job: TransferJob,
  store: ImageStore,
  registry: OCIRegistry,
  resolver: Resolver,
): Promise<void> {
  const { client, progress } = job;
  const { image } = await client.images.get({ name: store.name });
  const target = fromDescriptor(image?.target);
  const to = `OCI Registry (${registry.reference})`;
  progress.report({ event: `Pushing to ${to}` });
  progress.report({ event: "pushing content", name: store.name, descriptor: target });
  const content = new ContentProgress(progress, store.name, "uploading");
  const filter = { matcher: matcherFor(store.platforms.map(toPlatform)), allMetadata: false, limit: 0 };
  const blobs = new Map<Digest, Descriptor>();
  const manifests = new Map<Digest, Descriptor>();
  const walk = async (descriptor: Descriptor, parent: Descriptor | undefined, depth: number) => {
    if (depth > deepest) throw invalid(`${descriptor.digest} is nested too deep: invalid argument`);
    content.waiting(descriptor, parent);
    if (!isIndexType(descriptor.mediaType) && !isManifestType(descriptor.mediaType)) {
      if (!isNonDistributable(descriptor.mediaType)) blobs.set(descriptor.digest, descriptor);
      return;
    }
    for (const child of wantedChildren(descriptor, await childrenOf(client, descriptor), filter))
      await walk(child, descriptor, depth + 1);
    // After what it refers to.
    manifests.set(descriptor.digest, descriptor);
  };
  await walk(target, undefined, 0);
  const limiter = new Limiter(atOnce);
  const upload = new Upload(job, resolver, registry.reference, content);
  const results = await Promise.allSettled(
    [...blobs.values()].map((blob) => limiter.run(() => upload.send(blob, registry.reference))),
  );
  for (const result of results) if (result.status === "rejected") throw result.reason;
  const repository = repositoryName(parseReference(registry.reference));
  for (const manifest of manifests.values())
    await upload.send(
      manifest,
      manifest.digest === target.digest ? registry.reference : `${repository}@${manifest.digest}`,
    );
  progress.report({ event: "pushed content", name: store.name, descriptor: target });
  progress.report({ event: `Completed push to ${to}`, descriptor: target });
}

class Upload {
  readonly #job: TransferJob;
  readonly #resolver: Resolver;
  readonly #host: string;
  readonly #repository: string;
  readonly #content: ContentProgress;

  constructor(job: TransferJob, resolver: Resolver, reference: string, content: ContentProgress) {
    this.#job = job;
    this.#resolver = resolver;
    this.#content = content;
    const parsed = parseReference(reference);
    this.#host = parsed.domain.replace(/:\d+$/, "");
    this.#repository = parsed.path;
  }

  async send(descriptor: Descriptor, reference: string): Promise<void> {
    const { client, signal } = this.#job;
    const content = this.#content;
    signal.throwIfAborted();
    const { info } = await client.content.info({ digest: descriptor.digest });
    const sources = info?.labels[`containerd.io/distribution.source.${this.#host}`]?.split(",") ?? [];
    const mountFrom = sources.filter((source) => source !== "" && source !== this.#repository);
    const open = async function* () {
      let sent = 0;
      for await (const data of blobStream(client, descriptor.digest)) {
        if (signal.aborted) throw new CortenError("canceled", "context canceled");
        yield data;
        sent += data.byteLength;
        content.underway(descriptor, sent);
      }
    };
    const state = await this.#resolver.pusher(reference).push(descriptor, open, { mountFrom });
    content.over(descriptor, state === "exists" ? "already exists" : "complete");
  }
}
