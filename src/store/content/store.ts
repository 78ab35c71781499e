/**
 * The content store: blobs as files named by their digest, in the layout of containerd's
 * `io.containerd.content.v1.content` (blobs/<algorithm>/<hex>, ingest/<hash of ref>/{ref,data,…}).
 */
import { existsSync, mkdirSync } from "node:fs";
import { readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { CortenError, invalid, notFound } from "../../base/errors.ts";
import { Removal } from "../../base/removal.ts";
import { type Digest, isDigest, splitDigest } from "../../oci/digest.ts";
import { ingestDirectory, openIngest, readIngest } from "./ingest.ts";
import { openReader } from "./reader.ts";
import type {
  ContentInfo,
  ContentStore,
  ContentWriter,
  IngestStatus,
  ReaderAt,
  WriterOptions,
} from "./types.ts";
import { Writer } from "./writer.ts";

const smallBlob = 16 << 20;

/** Opens (and makes) the store below `root`. One process at a time owns a store. */
export async function openContentStore(root: string): Promise<ContentStore> {
  mkdirSync(join(root, "blobs", "sha256"), { recursive: true, mode: 0o711 });
  mkdirSync(join(root, "ingest"), { recursive: true, mode: 0o700 });
  return new FileContentStore(root);
}

class FileContentStore implements ContentStore {
  readonly #root: string;
  readonly #writers = new Map<string, { since: number; writer?: Writer; released: Promise<void> }>();

  /** Freeing an ingest's few files takes the disk longer than writing a small blob does. */
  readonly #removal: Removal;

  constructor(root: string) {
    this.#root = root;
    this.#removal = new Removal(join(root, "removed"), { plain: true });
  }

  path(digest: Digest): string {
    if (!isDigest(digest)) throw invalid(`invalid digest ${JSON.stringify(digest)}`);
    const { algorithm, hex } = splitDigest(digest);
    return join(this.#root, "blobs", algorithm, hex);
  }

  async info(digest: Digest): Promise<ContentInfo> {
    try {
      const found = await stat(this.path(digest));
      return { digest, size: found.size, createdAt: found.mtime, updatedAt: found.mtime };
    } catch (error) {
      throw missing(error, digest);
    }
  }

  async readerAt(digest: Digest): Promise<ReaderAt> {
    try {
      return openReader(this.path(digest), digest);
    } catch (error) {
      throw missing(error, digest);
    }
  }

  async readAll(digest: Digest, limit = smallBlob): Promise<Uint8Array> {
    using reader = await this.readerAt(digest);
    if (reader.size > limit)
      throw new CortenError(
        "resource_exhausted",
        `content ${digest} has ${reader.size} bytes, more than the ${limit} allowed here`,
      );
    const bytes = new Uint8Array(reader.size);
    const length = await reader.readAt(bytes, 0);
    return bytes.subarray(0, length);
  }

  async status(ref: string): Promise<IngestStatus> {
    const active = this.#writers.get(ref)?.writer;
    if (active) return active.status();
    const found = readIngest(ingestDirectory(this.#root, ref));
    if (!found) throw notFound(`ingest ref ${JSON.stringify(ref)}: not found`);
    return found;
  }

  async statuses(): Promise<IngestStatus[]> {
    const names = await readdir(join(this.#root, "ingest"));
    const found: IngestStatus[] = [];
    for (const name of names.sort()) {
      const status = readIngest(join(this.#root, "ingest", name));
      if (status) found.push(this.#writers.get(status.ref)?.writer?.status() ?? status);
    }
    return found;
  }

  async writer(ref: string, options: WriterOptions = {}): Promise<ContentWriter> {
    if (ref === "") throw invalid("ref must not be empty");
    const { expected, total = 0 } = options;
    if (expected !== undefined) this.#refuseExisting(expected);
    const release = await this.#lock(ref, options.waitMilliseconds ?? 0);
    try {
      // While this writer waited, the one before it may have committed the very blob.
      if (expected !== undefined) this.#refuseExisting(expected);
      const ingest = await openIngest(ingestDirectory(this.#root, ref), ref, total);
      const writer = new Writer(
        { ...ingest, expected: expected ?? "" },
        (digest) => this.path(digest),
        release,
        (path) => this.#removal.discard(path),
      );
      const lock = this.#writers.get(ref);
      if (lock) lock.writer = writer;
      return writer;
    } catch (error) {
      release();
      throw error;
    }
  }

  #refuseExisting(digest: Digest): void {
    const path = this.path(digest);
    const exists = existsSync(path);
    if (exists) throw new CortenError("already_exists", `content ${digest}: already exists`);
  }

  /** One writer per ref; others wait as long as they said, then hear who holds it. */
  async #lock(ref: string, waitMilliseconds: number): Promise<() => void> {
    const deadline = Date.now() + waitMilliseconds;
    for (;;) {
      const held = this.#writers.get(ref);
      if (!held) break;
      const left = deadline - Date.now();
      if (left <= 0) {
        const since = new Date(held.since).toISOString();
        throw new CortenError(
          "unavailable",
          `ref ${ref} locked for ${((Date.now() - held.since) / 1000).toFixed(3)}s (since ${since}): unavailable`,
        );
      }
      let timer: NodeJS.Timeout | undefined;
      const timeout = new Promise<void>((done) => {
        timer = setTimeout(done, left);
      });
      await Promise.race([held.released, timeout]);
      clearTimeout(timer);
    }
    let signal = () => {};
    const released = new Promise<void>((done) => {
      signal = done;
    });
    this.#writers.set(ref, { since: Date.now(), released });
    return () => {
      this.#writers.delete(ref);
      signal();
    };
  }

  async abort(ref: string): Promise<void> {
    const directory = ingestDirectory(this.#root, ref);
    const found = readIngest(directory);
    if (!found) throw notFound(`ingest ref ${JSON.stringify(ref)}: not found`);
    this.#removal.discard(directory);
  }

  async delete(digest: Digest): Promise<void> {
    try {
      await rm(this.path(digest));
    } catch (error) {
      throw missing(error, digest);
    }
  }

  async walk(visit: (info: ContentInfo) => void | Promise<void>): Promise<void> {
    for (const algorithm of (await readdir(join(this.#root, "blobs"))).sort()) {
      for (const hex of (await readdir(join(this.#root, "blobs", algorithm))).sort()) {
        const digest = `${algorithm}:${hex}`;
        if (!isDigest(digest)) continue;
        const info = await this.info(digest).catch((error) => {
          if (error instanceof CortenError && error.code === "not_found") return undefined;
          throw error;
        });
        if (info) await visit(info);
      }
    }
  }

  async close(): Promise<void> {
    for (const { writer } of [...this.#writers.values()]) await writer?.close();
    await this.#removal.settled;
  }
}

function missing(error: unknown, digest: Digest): unknown {
  return (error as NodeJS.ErrnoException).code === "ENOENT"
    ? notFound(`content ${digest}: not found`, error)
    : error;
}
