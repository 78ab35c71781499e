/** Writes one layer: an uncompressed tar in a temporary file, with its digest and size as they grow. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { CortenError } from "../base/errors.ts";
import { type Descriptor, mediaTypes } from "../oci/image-spec.ts";
import { temporaryName } from "./files.ts";
import { type TarEntry, tarEnd, tarHeader, tarPadding } from "./tar.ts";
import type { ContentSink } from "./types.ts";

const blockSize = 1024 * 1024;

export class LayerWriter implements AsyncDisposable {
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #hash = createHash("sha256");
  readonly #directories = new Set<string>();
  #held: Uint8Array[] = [];
  #heldSize = 0;
  #size = 0;
  /** Time of directories that nothing in the package mentions. */
  mtime = 0;

  private constructor(path: string, file: FileHandle) {
    this.#path = path;
    this.#file = file;
  }

  static async create(cacheDir: string): Promise<LayerWriter> {
    const folder = join(cacheDir, "tmp");
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const path = temporaryName(join(folder, "layer"));
    return new LayerWriter(path, await open(path, "wx", 0o600));
  }

  /** Adds an entry, its parents before it where they are missing. A directory that is there stays as it is. */
  async add(entry: TarEntry, body?: AsyncIterable<Uint8Array> | Uint8Array): Promise<void> {
    await this.#addParents(entry.path);
    if (entry.type === "directory") {
      if (this.#directories.has(entry.path)) return;
      this.#directories.add(entry.path);
    }
    await this.#write(tarHeader(entry));
    if (entry.type !== "file") return;
    let written = 0;
    if (body instanceof Uint8Array) {
      written = body.length;
      await this.#write(body);
    } else if (body)
      for await (const chunk of body) {
        written += chunk.length;
        await this.#write(chunk);
      }
    if (written !== entry.size)
      throw new CortenError("internal", `${entry.path}: ${written} of ${entry.size} bytes`);
    await this.#write(tarPadding(entry.size));
  }

  async #addParents(path: string): Promise<void> {
    for (let slash = path.indexOf("/"); slash > 0; slash = path.indexOf("/", slash + 1)) {
      const parent = path.slice(0, slash);
      if (this.#directories.has(parent)) continue;
      this.#directories.add(parent);
      await this.#write(tarHeader(directory(parent, 0o755, this.mtime)));
    }
  }

  async #write(chunk: Uint8Array): Promise<void> {
    if (chunk.length === 0) return;
    this.#hash.update(chunk);
    this.#size += chunk.length;
    this.#held.push(chunk);
    this.#heldSize += chunk.length;
    if (this.#heldSize >= blockSize) await this.#flush();
  }

  async #flush(): Promise<void> {
    await this.#file.appendFile(Buffer.concat(this.#held));
    this.#held = [];
    this.#heldSize = 0;
  }

  /** Ends the archive and hands it to the sink. */
  async finish(sink: ContentSink): Promise<Descriptor> {
    await this.#write(tarEnd());
    await this.#flush();
    const digest = `sha256:${this.#hash.digest("hex")}`;
    const descriptor: Descriptor = { mediaType: mediaTypes.ociLayer, digest, size: this.#size };
    if (!(await sink.has(digest)))
      await sink.put(descriptor, createReadStream(this.#path, { highWaterMark: blockSize }));
    return descriptor;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
    await rm(this.#path, { force: true });
  }
}

const entryDefaults = { uid: 0, gid: 0, size: 0, target: "", major: 0, minor: 0 };

export const directory = (path: string, mode: number, mtime: number, uid = 0, gid = 0): TarEntry => ({
  ...entryDefaults,
  path,
  type: "directory",
  mode,
  mtime,
  uid,
  gid,
});

export const symlink = (path: string, target: string, mtime: number): TarEntry => ({
  ...entryDefaults,
  path,
  type: "symlink",
  mode: 0o777,
  mtime,
  target,
});

export const hardLink = (path: string, target: string, mode: number, mtime: number): TarEntry => ({
  ...entryDefaults,
  path,
  type: "link",
  mode,
  mtime,
  target,
});

export const regularFile = (path: string, mode: number, mtime: number, size: number): TarEntry => ({
  ...entryDefaults,
  path,
  type: "file",
  mode,
  mtime,
  size,
});
