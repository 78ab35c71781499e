/**
 * Reads images from a tar archive: Docker's (`manifest.json`, with layers as `ID/layer.tar`, as links to them, or as
 * blobs) and OCI image layouts (image-spec, image-layout.md). What the archive holds goes into the store while it is
 * read, in any order, and stays there only as far as images refer to it.
 */
import { posix } from "node:path";
import { decompress, detectCompression } from "../../archive/decompress.ts";
import { type TarMember, tarMembers } from "../../archive/tar/index.ts";
import { CortenError, invalid } from "../../base/errors.ts";
import type { Digest } from "../../oci/digest.ts";
import { type Descriptor, type ImageConfig, type Index, mediaTypes } from "../../oci/image-spec.ts";
import { formatReference, parseImageName } from "../../oci/reference.ts";
import { ingestBlob, readBlob } from "./blob.ts";
import { withLease } from "./lease.ts";
import { keepDangling, nameImage } from "./name-image.ts";
import { readImage } from "./read-image.ts";
import type { ContainerdClient, ImageContent, LayerProgress } from "./types.ts";
import { unpack } from "./unpack.ts";
import { referToContent, writeImage } from "./write-image.ts";

export interface LoadOptions {
  snapshotter: string;
  onProgress?: (progress: LayerProgress) => void;
  /** Called for each image when it is complete. */
  onLoaded: (image: LoadedImage) => void;
  signal?: AbortSignal;
}

export interface LoadedImage {
  id: Digest;
  /** Full names; none for an image that the archive does not name. */
  names: string[];
}

const limits = {
  maxEntries: 1_000_000,
  maxHeaderSize: 1 << 20,
  maxPathLength: 4095,
  maxSize: 256 * 2 ** 30,
};
const documentLimit = 16 << 20;
const maxImages = 10_000;

/** Documents at the root that say what the rest is. */
const documents = new Set(["manifest.json", "index.json", "oci-layout"]);

interface Blob {
  digest: Digest;
  size: number;
}

export function loadArchive(
  client: ContainerdClient,
  source: AsyncIterable<Uint8Array>,
  options: LoadOptions,
): Promise<void> {
  return withLease(client, async (leased) => {
    const archive = new Archive(leased, options.signal);
    await archive.read(decompress(source, { what: "archive", any: true }));
    const images = await archive.images();
    for (const { target, names } of images) {
      const content = await unpack(leased, target, {
        snapshotter: options.snapshotter,
        ...(options.onProgress ? { onProgress: options.onProgress } : {}),
        ...(options.signal ? { signal: options.signal } : {}),
      });
      await record(leased, content, names);
      options.onLoaded({ id: content.manifest.config.digest, names });
    }
  });
}

/** Gives the image its names; one without gets a record of its own, unless it has one. */
async function record(
  client: ContainerdClient,
  content: ImageContent,
  names: readonly string[],
): Promise<void> {
  const { target } = content;
  const id = content.manifest.config.digest;
  for (const name of names) await nameImage(client, name, { target, id });
  if (names.length > 0) return;
  await keepDangling(client, { target, labels: {} });
}

/** An archive whose blobs are in the store, where the client's lease holds them. */
export class Archive {
  readonly #client: ContainerdClient;
  readonly #signal: AbortSignal | undefined;
  readonly #blobs = new Map<string, Blob>();
  readonly #links = new Map<string, string>();
  readonly #documents = new Map<string, Uint8Array>();

  constructor(client: ContainerdClient, signal: AbortSignal | undefined) {
    this.#client = client;
    this.#signal = signal;
  }

  async read(tar: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const member of tarMembers(tar, limits)) await this.#member(member);
  }

  async #member({ entry, content }: TarMember): Promise<void> {
    if (entry.type === "directory") return;
    const path = inside(entry.path);
    if (entry.type === "symlink") {
      this.#links.set(path, inside(posix.join(posix.dirname(path), entry.linkPath)));
      return;
    }
    if (entry.type === "link") {
      this.#links.set(path, inside(entry.linkPath));
      return;
    }
    if (entry.type !== "file") throw invalid(`archive: ${JSON.stringify(path)} is no file`);
    if (documents.has(path)) {
      this.#documents.set(path, await readDocument(path, entry.size, content));
      return;
    }
    const blob = await ingestBlob(
      this.#client,
      {
        ref: `corten-load-${crypto.randomUUID()}`,
        ...(this.#signal ? { signal: this.#signal } : {}),
      },
      content,
    );
    const named = /^blobs\/sha256\/([0-9a-f]{64})$/.exec(path)?.[1];
    if (named !== undefined && blob.digest !== `sha256:${named}`)
      throw new CortenError("data_loss", `archive: ${path} has the digest ${blob.digest}`);
    this.#blobs.set(path, blob);
  }

  /** What a name in a document leads to. */
  #find(name: unknown): Blob {
    if (typeof name !== "string") throw invalid("archive: manifest.json has an entry without a name");
    let path = inside(name);
    for (let hop = 0; hop < 8; hop++) {
      const blob = this.#blobs.get(path);
      if (blob) return blob;
      const target = this.#links.get(path);
      if (target === undefined) break;
      path = target;
    }
    throw new CortenError("not_found", `open ${path}: no such file or directory in the archive`);
  }

  async images(): Promise<Array<{ target: Descriptor; names: string[] }>> {
    if (this.isLayout)
      return this.#layoutImages(this.#documents.has("manifest.json") ? this.#dockerImages() : []);
    return this.assembled();
  }

  /** Whether it is an image layout, which Docker's archives are as well since version 25. */
  get isLayout(): boolean {
    return this.#documents.has("index.json");
  }

  /** One of the documents at the root, as it is in the archive. */
  document(name: "index.json" | "manifest.json" | "oci-layout"): Uint8Array | undefined {
    return this.#documents.get(name);
  }

  /** The images of Docker's document, with manifests made for them. */
  async assembled(
    layerOf: (layer: Descriptor) => Promise<Descriptor> = async (layer) => layer,
  ): Promise<Array<{ target: Descriptor; names: string[] }>> {
    if (!this.#documents.has("manifest.json"))
      throw invalid("the archive holds no images: neither manifest.json nor index.json is in it");
    const images: Array<{ target: Descriptor; names: string[] }> = [];
    for (const one of this.#dockerImages())
      images.push({ target: await this.#assemble(one, layerOf), names: one.names });
    return images;
  }

  #dockerImages(): DockerImage[] {
    const list = parseJson("manifest.json", this.#documents.get("manifest.json")!);
    if (!Array.isArray(list) || list.length > maxImages)
      throw invalid("archive: manifest.json is no list of images");
    return (list as Array<Record<string, unknown> | null>).map((item) => {
      const { Config, RepoTags, Layers } = item ?? {};
      if (!Array.isArray(Layers ?? []) || !Array.isArray(RepoTags ?? []))
        throw invalid("archive: manifest.json has an entry with a field of a wrong type");
      return {
        config: this.#find(Config),
        layers: ((Layers ?? []) as unknown[]).map((layer) => () => this.#find(layer)),
        names: ((RepoTags ?? []) as unknown[]).map(fullName),
      };
    });
  }

  /** A manifest for what Docker's document says; its digest is ours, the image's id is the archive's. */
  async #assemble(
    { config, layers }: DockerImage,
    layerOf: (layer: Descriptor) => Promise<Descriptor>,
  ): Promise<Descriptor> {
    const bytes = await readBlob(this.#client, config.digest, documentLimit);
    const parsed = parseJson<ImageConfig>("image config", bytes);
    const found = layers.map((layer) => layer());
    if ((parsed.rootfs?.diff_ids ?? []).length !== found.length)
      throw invalid(
        `invalid manifest, layers length mismatch: expected ${found.length}, got ${parsed.rootfs?.diff_ids?.length ?? 0}`,
      );
    const described: Descriptor[] = [];
    for (const layer of found) described.push(await layerOf(await this.#layer(layer)));
    return (await writeImage(this.#client, bytes, described)).target;
  }

  async #layer(blob: Blob): Promise<Descriptor> {
    let head: Uint8Array = new Uint8Array(0);
    const size = BigInt(Math.min(blob.size, 16));
    if (size > 0n)
      for await (const { data } of this.#client.content.read({ digest: blob.digest, offset: 0n, size })) {
        head = data;
        break;
      }
    const compression = detectCompression(head);
    const mediaType = {
      none: mediaTypes.dockerLayer,
      gzip: mediaTypes.dockerLayerGzip,
      zstd: mediaTypes.ociLayerZstd,
    }[compression as "none"];
    if (!mediaType) throw invalid(`archive: a layer is compressed with ${compression}`);
    return { mediaType, ...blob };
  }

  async #layoutImages(
    docker: readonly DockerImage[],
  ): Promise<Array<{ target: Descriptor; names: string[] }>> {
    const { manifests } = parseJson<Index>("index.json", this.#documents.get("index.json")!);
    if (!Array.isArray(manifests) || manifests.length > maxImages)
      throw invalid("archive: index.json has no list of manifests");
    const found = new Map<Digest, { target: Descriptor; names: Set<string> }>();
    for (const descriptor of manifests) {
      if (descriptor.annotations?.["vnd.docker.reference.type"] !== undefined) continue;
      const { annotations = {}, mediaType, digest, size } = descriptor;
      this.#find(`blobs/${String(digest).replace(":", "/")}`);
      const target = { mediaType, digest, size };
      const before = found.get(digest) ?? { target, names: new Set<string>() };
      found.set(digest, before);
      const name =
        annotations["io.containerd.image.name"] ?? annotations["org.opencontainers.image.ref.name"];
      // A bare tag is a name only where the layout's own is known.
      if (name?.includes(":") || name?.includes("/")) before.names.add(fullName(name));
    }
    const images: Array<{ target: Descriptor; names: string[] }> = [];
    for (const { target, names } of found.values()) {
      const { manifest } = await readImage(this.#client, target);
      for (const one of docker)
        if (one.config.digest === manifest.config.digest) for (const name of one.names) names.add(name);
      await referToContent(this.#client, target);
      images.push({ target, names: [...names] });
    }
    return images;
  }
}

interface DockerImage {
  config: Blob;
  layers: Array<() => Blob>;
  names: string[];
}

function fullName(name: unknown): string {
  try {
    return formatReference(parseImageName(String(name)));
  } catch (error) {
    throw invalid(`invalid tag ${JSON.stringify(name)}`, error);
  }
}

/** A name in the archive; one that leads out of it is a trick. */
function inside(path: string): string {
  const clean = posix.normalize(path).replace(/^\/+/, "").replace(/\/$/, "");
  if (clean === "" || clean === "." || clean === ".." || clean.startsWith("../") || clean.includes("\0"))
    throw invalid(`archive: the path ${JSON.stringify(path)} leads out of it`);
  return clean;
}

async function readDocument(
  path: string,
  size: number,
  content: AsyncIterable<Uint8Array>,
): Promise<Uint8Array> {
  if (size > documentLimit) throw invalid(`archive: ${path} is larger than ${documentLimit} bytes`);
  const parts: Uint8Array[] = [];
  for await (const part of content) parts.push(part);
  return Buffer.concat(parts);
}

function parseJson<T>(what: string, bytes: Uint8Array): T {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    throw invalid(`archive: ${what} is not JSON`, error);
  }
  return (value ?? []) as T;
}
