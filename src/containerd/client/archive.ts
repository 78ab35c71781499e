/**
 * Images as tar archives: an OCI image layout (image-spec, image-layout.md) which, with `manifest.json`, is also what
 * `docker load` of every version reads. Docker's own `save` writes this since 25.
 */
import { endOfArchive, formatEntry, padding } from "../../archive/tar/index.ts";
import { CortenError } from "../../base/errors.ts";
import { type Digest, splitDigest } from "../../oci/digest.ts";
import type { Descriptor } from "../../oci/image-spec.ts";
import { blobStream } from "./blob.ts";
import type { ContainerdClient } from "./types.ts";

export type Write = (chunk: Uint8Array) => Promise<void>;

/** Writes entries one after the other; nothing but headers is held. Names are ASCII. */
export class ArchiveWriter {
  readonly #write: Write;
  readonly #mtimeNs: bigint;

  /** `time`: of all entries, in seconds since 1970. */
  constructor(write: Write, time = 0) {
    this.#write = write;
    this.#mtimeNs = BigInt(time) * 1_000_000_000n;
  }

  directory(path: string): Promise<void> {
    return this.#write(this.#header(path, 0, "directory"));
  }

  async file(path: string, data: Uint8Array): Promise<void> {
    await this.stream(path, data.length, [data]);
  }

  /** Exactly `size` bytes; a source of another length is an error. */
  async stream(
    path: string,
    size: number,
    source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  ): Promise<void> {
    await this.#write(this.#header(path, size, "file"));
    let written = 0;
    for await (const piece of source) {
      written += piece.length;
      if (written > size) break;
      await this.#write(piece);
    }
    if (written !== size)
      throw new CortenError("data_loss", `${path}: content is not the ${size} bytes it should be`);
    if (padding(size) > 0) await this.#write(new Uint8Array(padding(size)));
  }

  end(): Promise<void> {
    return this.#write(endOfArchive);
  }

  #header(path: string, size: number, type: "file" | "directory"): Uint8Array {
    return formatEntry({
      path: type === "directory" ? `${path}/` : path,
      linkPath: "",
      type,
      mode: type === "directory" ? 0o755 : 0o444,
      uid: 0,
      gid: 0,
      size,
      mtimeNs: this.#mtimeNs,
      major: 0,
      minor: 0,
      xattrs: [],
    });
  }
}

/** An entry of `manifest.json`, the part that Docker before 25 reads. */
export interface DockerArchiveImage {
  config: Digest;
  /** Short names, as users write them: `busybox:latest`. */
  repoTags: readonly string[];
  layers: readonly Digest[];
}

export interface ImageArchive {
  /** Entries of `index.json`; names are in their annotations. */
  manifests: readonly Descriptor[];
  /** Everything that is reachable, each blob once. */
  blobs: readonly Pick<Descriptor, "digest" | "size">[];
  /** Documents that are not in the store. */
  documents?: ReadonlyMap<Digest, Uint8Array>;
  /** Absent: no `manifest.json`. */
  docker?: readonly DockerArchiveImage[];
  /** Of the entries, in seconds since 1970; default 0. */
  time?: number;
}

export const blobPath = (digest: Digest): string => {
  const { algorithm, hex } = splitDigest(digest);
  return `blobs/${algorithm}/${hex}`;
};

/** The two documents at the root of a layout, and Docker's, as text. */
export function layoutDocuments(
  archive: Pick<ImageArchive, "manifests" | "docker">,
): Map<string, Uint8Array> {
  const text = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
  const documents = new Map([
    [
      "index.json",
      text({
        schemaVersion: 2,
        mediaType: "application/vnd.oci.image.index.v1+json",
        manifests: archive.manifests,
      }),
    ],
  ]);
  if (archive.docker)
    documents.set(
      "manifest.json",
      text(
        archive.docker.map(({ config, repoTags, layers }) => ({
          Config: blobPath(config),
          RepoTags: repoTags.length > 0 ? repoTags : null,
          Layers: layers.map(blobPath),
        })),
      ),
    );
  documents.set("oci-layout", text({ imageLayoutVersion: "1.0.0" }));
  return documents;
}

/** Writes the archive, entries in the order of their names: the same images give the same bytes. */
export async function writeImageArchive(
  client: ContainerdClient,
  archive: ImageArchive,
  write: Write,
  signal?: AbortSignal,
): Promise<void> {
  const tar = new ArchiveWriter(write, archive.time);
  await tar.directory("blobs");
  const blobs = new Map(archive.blobs.map((blob) => [blobPath(blob.digest), blob]));
  let folder = "";
  for (const [path, blob] of [...blobs].sort(([a], [b]) => (a < b ? -1 : 1))) {
    signal?.throwIfAborted();
    const parent = path.slice(0, path.lastIndexOf("/"));
    if (parent !== folder) {
      await tar.directory(parent);
      folder = parent;
    }
    const document = archive.documents?.get(blob.digest);
    if (document) await tar.file(path, document);
    else await tar.stream(path, blob.size, blobStream(client, blob.digest));
  }
  for (const [path, document] of layoutDocuments(archive)) await tar.file(path, document);
  await tar.end();
}
