import { CortenError, invalid, isCode, notFound } from "../../base/errors.ts";
import { fromDescriptor } from "../../containerd/client/descriptor.ts";
import {
  type ContainerdClient,
  chainIds,
  danglingName,
  type ImageContent,
  isDangling,
  pushedLabel,
  readImage,
} from "../../containerd/client/index.ts";
import type { Descriptor, Platform } from "../../oci/image-spec.ts";
import {
  familiarName,
  familiarReference,
  looksLikeIdentifier,
  parseImageName,
  parseReference,
  type Reference,
  repositoryName,
} from "../../oci/reference.ts";
import { recordName } from "./name.ts";

/** An image as Docker sees it: an id, and the names that lead to it. */
export interface ImageInfo {
  /** Digest of the configuration. */
  id: string;
  /** containerd's names of its records, dangling ones included. */
  records: string[];
  target: Descriptor;
  content: ImageContent;
  /** Labels of the first record. */
  labels: Record<string, string>;
  /** By record: its digest in the registry, where a push has changed it. */
  pushed: Map<string, string>;
  updatedAt: Date | undefined;
}

export { danglingName, isDangling };

/** On records of images that `commit` made: the id of the image below, which no document of an image tells. */
export const parentLabel = "corten.image.parent";

/** Manifests and configurations remembered; they never change under their digest. */
const cacheLimit = 512;

/**
 * containerd's images in Docker's terms. Records are asked for each time (others may change them); what they
 * point at is remembered by digest.
 */
export class ImageStore {
  readonly #client: ContainerdClient;
  readonly #contents = new Map<string, Promise<ImageContent>>();
  readonly #sizes = new Map<string, Promise<number>>();
  readonly snapshotter: string;

  constructor(client: ContainerdClient, snapshotter: string) {
    this.#client = client;
    this.snapshotter = snapshotter;
  }

  /** What a target comes to on this machine's platform, or on another one. */
  content(target: Descriptor, platform?: Platform): Promise<ImageContent> {
    const key = `${target.digest} ${platform ? JSON.stringify(platform) : ""}`;
    const known = this.#contents.get(key);
    if (known) return known;
    const reading = readImage(this.#client, target, platform);
    if (this.#contents.size >= cacheLimit) this.#contents.delete(this.#contents.keys().next().value!);
    this.#contents.set(key, reading);
    reading.catch(() => this.#contents.delete(key));
    return reading;
  }

  /** The image a user means: a name, `sha256:…`, or the beginning of an id. Throws Docker's not-found. */
  async get(reference: string, platform?: Platform): Promise<ImageInfo> {
    const found = await this.find(reference, platform);
    if (!found) throw notFound(noSuchImage(reference));
    return found;
  }

  async find(reference: string, platform?: Platform): Promise<ImageInfo | undefined> {
    if (reference === "") throw invalid("invalid reference format");
    if (!/^sha256:[0-9a-f]{64}$/.test(reference) && !/^[0-9a-f]{64}$/.test(reference)) {
      const named = await this.#byName(reference, platform);
      if (named) return named;
    }
    if (!looksLikeIdentifier(reference)) return undefined;
    const prefix = reference.startsWith("sha256:") ? reference : `sha256:${reference}`;
    const matches = (await this.list()).filter(
      (image) =>
        image.id.startsWith(prefix) ||
        image.target.digest === prefix ||
        image.content.manifestDescriptor.digest === prefix,
    );
    if (matches.length > 1)
      throw new CortenError("invalid_argument", `ambiguous image ID prefix: ${reference}`);
    return matches[0];
  }

  async #byName(text: string, platform?: Platform): Promise<ImageInfo | undefined> {
    let name: string;
    try {
      name = recordName(text);
    } catch (error) {
      if (looksLikeIdentifier(text)) return undefined;
      throw invalid(
        `invalid reference format${text.toLowerCase() === text ? "" : `: repository name (${text}) must be lowercase`}`,
        error,
      );
    }
    try {
      const { image } = await this.#client.images.get({ name });
      return await this.#info(image!.name, image!.target, image!.labels, image!.updatedAt, platform);
    } catch (error) {
      if (!isCode(error, "not_found")) throw error;
    }
    // `repo@digest`, or `repo:tag@digest`: any record of that repository with the digest.
    const parsed = parseReference(text);
    if (parsed.digest === undefined) return undefined;
    const matches = (await this.list()).filter((image) =>
      image.records.some(
        (one) =>
          repositoryOf(one) === repositoryName(parsed) &&
          (image.target.digest === parsed.digest || image.pushed.get(one) === parsed.digest),
      ),
    );
    return matches[0];
  }

  async #info(
    record: string,
    target: Parameters<typeof fromDescriptor>[0],
    labels: Record<string, string>,
    updatedAt: { seconds: bigint; nanos: number } | undefined,
    platform?: Platform,
  ): Promise<ImageInfo> {
    const descriptor = fromDescriptor(target);
    const content = await this.content(descriptor, platform);
    const { [pushedLabel]: pushed, ...own } = labels;
    return {
      id: content.manifest.config.digest,
      records: [record],
      target: descriptor,
      content,
      labels: own,
      pushed: new Map(pushed === undefined ? [] : [[record, pushed]]),
      updatedAt: updatedAt ? new Date(Number(updatedAt.seconds) * 1000 + updatedAt.nanos / 1e6) : undefined,
    };
  }

  /** Every image once, with all its records; broken ones (content missing) are left out. */
  async list(): Promise<ImageInfo[]> {
    const { images } = await this.#client.images.list({ filters: [] });
    const byId = new Map<string, ImageInfo>();
    const infos = await Promise.all(
      images.map((image) =>
        this.#info(image.name, image.target, image.labels, image.updatedAt).catch(() => undefined),
      ),
    );
    for (const info of infos) {
      if (!info) continue;
      const before = byId.get(info.id);
      if (before) {
        before.records.push(...info.records);
        for (const [record, digest] of info.pushed) before.pushed.set(record, digest);
      } else byId.set(info.id, info);
    }
    return [...byId.values()];
  }

  /** Every record of the image with this id. */
  async byId(id: string): Promise<ImageInfo | undefined> {
    return (await this.list()).find((image) => image.id === id);
  }

  /** Unpacked size of all layers. */
  size(content: ImageContent): Promise<number> {
    const id = content.manifest.config.digest;
    const known = this.#sizes.get(id);
    if (known) return known;
    const sizing = this.#measure(content);
    if (this.#sizes.size >= cacheLimit) this.#sizes.delete(this.#sizes.keys().next().value!);
    this.#sizes.set(id, sizing);
    sizing.catch(() => this.#sizes.delete(id));
    return sizing;
  }

  async #measure(content: ImageContent): Promise<number> {
    const sizes = await this.layerSizes(content);
    return sizes.reduce((sum, size) => sum + size, 0);
  }

  /** Unpacked size of each layer; the compressed one where it is not unpacked. */
  layerSizes(content: ImageContent): Promise<number[]> {
    const ids = chainIds(content.diffIds);
    return Promise.all(
      ids.map(async (key, index) => {
        try {
          const usage = await this.#client.snapshots.usage({ snapshotter: this.snapshotter, key });
          return Number(usage.size);
        } catch {
          return content.manifest.layers[index]!.size;
        }
      }),
    );
  }
}

/** `repo:tag` names of an image, as users write them. */
export function repoTags(image: ImageInfo): string[] {
  return image.records.flatMap((record) => {
    const parsed = parseRecord(record);
    return parsed?.tag === undefined ? [] : [familiarReference({ ...parsed, tag: parsed.tag })];
  });
}

/** `repo@digest` names: one per repository that has a record. */
export function repoDigests(image: ImageInfo): string[] {
  const out = new Set<string>();
  for (const record of image.records) {
    const parsed = parseRecord(record);
    if (parsed) out.add(`${familiarName(parsed)}@${image.pushed.get(record) ?? image.target.digest}`);
  }
  return [...out];
}

export function parseRecord(record: string): Reference | undefined {
  if (isDangling(record)) return undefined;
  try {
    return parseReference(record);
  } catch {
    return undefined;
  }
}

const repositoryOf = (record: string): string | undefined => {
  const parsed = parseRecord(record);
  return parsed && repositoryName(parsed);
};

/** Docker names the default tag in this message, and cuts ids as they were given. */
export function noSuchImage(reference: string): string {
  if (/^(sha256:)?[0-9a-f]{64}$/.test(reference)) return `No such image: ${reference}`;
  try {
    return `No such image: ${familiarReference(parseImageName(reference))}`;
  } catch {
    return `No such image: ${reference}`;
  }
}
