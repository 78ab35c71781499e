/** An OCI image layout on this host (image-spec, image-layout.md): blobs are complete or absent. */
import { createHash, randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { CortenError, invalid, isCode, notFound } from "../base/errors.ts";
import { blobPath } from "../containerd/client/index.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import type { Descriptor, Index } from "../oci/image-spec.ts";

const tagKey = "org.opencontainers.image.ref.name";
const maxDocument = 16 << 20;

type Source = Iterable<Uint8Array> | (() => AsyncIterable<Uint8Array>);

export class LayoutDirectory {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  /** Makes what is missing of a layout. */
  static async create(path: string): Promise<LayoutDirectory> {
    await mkdir(join(path, "blobs/sha256"), { recursive: true });
    const layout = new LayoutDirectory(path);
    await layout.#write("oci-layout", [Buffer.from('{"imageLayoutVersion":"1.0.0"}')]);
    return layout;
  }

  static open(path: string): LayoutDirectory {
    return new LayoutDirectory(path);
  }

  /** undefined: the blob is not there. */
  async sizeOf(digest: Digest): Promise<number | undefined> {
    const found = await stat(join(this.#path, blobPath(digest))).catch(() => undefined);
    return found?.isFile() ? found.size : undefined;
  }

  async hasBlob({ digest, size }: Pick<Descriptor, "digest" | "size">): Promise<boolean> {
    return (await this.sizeOf(digest)) === size;
  }

  async putBlob(blob: Pick<Descriptor, "digest" | "size">, source: Source): Promise<void> {
    if (await this.hasBlob(blob)) return;
    await this.#write(blobPath(blob.digest), source, blob.digest);
  }

  #putIndex(manifests: readonly Descriptor[]): Promise<void> {
    const index = { schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests };
    return this.#write("index.json", [Buffer.from(JSON.stringify(index))]);
  }

  /** Adds manifests to the index; one that has the tag of a new one, or is the same without a tag, goes. */
  async add(manifests: readonly Descriptor[]): Promise<void> {
    const before = await this.index().catch((error) => {
      if (isCode(error, "not_found")) return undefined;
      throw error;
    });
    const same = (a: Descriptor, b: Descriptor) => {
      const [tag, other] = [a.annotations?.[tagKey], b.annotations?.[tagKey]];
      return tag === undefined && other === undefined ? a.digest === b.digest : tag === other;
    };
    const others = (before?.manifests ?? []).filter((one) => !manifests.some((added) => same(one, added)));
    await this.#putIndex([...others, ...manifests]);
  }

  /** Puts a manifest under a tag. */
  tag(manifest: Descriptor, tag: string): Promise<void> {
    return this.add([{ ...manifest, annotations: { ...manifest.annotations, [tagKey]: tag } }]);
  }

  async index(): Promise<Index> {
    const text = await this.#read("index.json");
    const index = parse(text, join(this.#path, "index.json")) as Index;
    if (!Array.isArray(index.manifests)) throw invalid(`${this.#path}/index.json lists no manifests`);
    return index;
  }

  /** The manifest of a tag, or of a digest. */
  async find(wanted: { tag?: string | undefined; digest?: Digest }): Promise<Descriptor | undefined> {
    const { manifests } = await this.index();
    if (wanted.digest !== undefined) return manifests.find((one) => one.digest === wanted.digest);
    return manifests.find((one) => one.annotations?.[tagKey] === wanted.tag);
  }

  /** A document, verified. */
  async readJson<T>(descriptor: Pick<Descriptor, "digest">): Promise<T> {
    if (!isDigest(descriptor.digest)) throw invalid(`malformed digest ${JSON.stringify(descriptor.digest)}`);
    const bytes = await this.#read(blobPath(descriptor.digest));
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    if (digest !== descriptor.digest)
      throw new CortenError("data_loss", `${this.#path}: blob ${descriptor.digest} is damaged`);
    return parse(bytes, descriptor.digest) as T;
  }

  /** The bytes of a blob from an offset on; whoever stores them verifies them. */
  async *blob(digest: Digest, offset = 0): AsyncGenerator<Uint8Array> {
    const file = await open(join(this.#path, blobPath(digest)), constants.O_RDONLY | constants.O_NOFOLLOW);
    try {
      for (let at = offset; ; ) {
        const buffer = Buffer.allocUnsafe(256 << 10);
        const { bytesRead } = await file.read(buffer, 0, buffer.length, at);
        if (bytesRead === 0) return;
        yield buffer.subarray(0, bytesRead);
        at += bytesRead;
      }
    } finally {
      await file.close();
    }
  }

  async #read(name: string): Promise<Buffer> {
    const path = join(this.#path, name);
    const found = await stat(path).catch(() => undefined);
    if (!found?.isFile()) throw notFound(`${path}: no such file`);
    if (found.size > maxDocument) throw new CortenError("resource_exhausted", `${path} is too large`);
    return readFile(path);
  }

  async #write(name: string, source: Source, digest?: Digest): Promise<void> {
    const path = join(this.#path, name);
    const temporary = `${path}.${randomBytes(6).toString("hex")}.tmp`;
    const file = await open(
      temporary,
      constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
      0o644,
    );
    const hash = createHash("sha256");
    try {
      for await (const piece of typeof source === "function" ? source() : source) {
        hash.update(piece);
        await file.writeFile(piece);
      }
      await file.datasync();
    } catch (error) {
      await file.close();
      await rm(temporary, { force: true });
      throw error;
    }
    await file.close();
    if (digest !== undefined && `sha256:${hash.digest("hex")}` !== digest) {
      await rm(temporary, { force: true });
      throw new CortenError("data_loss", `blob ${digest} is not what its digest says`);
    }
    await rename(temporary, path);
  }
}

function parse(bytes: Uint8Array, what: string): unknown {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (typeof value === "object" && value !== null) return value;
  } catch (error) {
    throw invalid(`${what} is not JSON`, error);
  }
  throw invalid(`${what} is not a JSON object`);
}
