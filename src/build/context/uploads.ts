/** The body of `POST /build`: a tar that becomes a directory for as long as the build runs. */
import { createHash, type Hash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { decompress } from "../../archive/decompress.ts";
import { Extractor } from "../../archive/extract.ts";
import { type TarEntry, TarReader, type TarSink } from "../../archive/tar/index.ts";
import { CortenError, invalid, messageOf, notFound } from "../../base/errors.ts";
import { Removal } from "../../base/removal.ts";
import type { Digest } from "../../oci/digest.ts";
import { statManyFd } from "../../sys/stat.ts";
import { isCounted } from "../files/digest.ts";
import { Turns } from "../files/turns.ts";
import type { Contexts, FileHashes } from "../types.ts";
import { readContextFile } from "./host.ts";

export interface UploadedContext extends Contexts {
  /** Removes the unpacked files. */
  close(): Promise<void>;
}

export interface UploadLimits {
  /** Uncompressed bytes. */
  maxSize: number;
  maxEntries: number;
}

export interface Uploads {
  /**
   * Unpacks an archive (a tar: plain, gzip, bzip2, xz, zstd) as the context `name`, default `context`. Whatever it says of
   * owners, its files belong to root.
   */
  receive(
    body: AsyncIterable<Uint8Array>,
    options: { signal: AbortSignal; name?: string; progress?: (bytes: number) => void },
  ): Promise<UploadedContext>;
}

const defaultLimits: UploadLimits = { maxSize: 256 * 2 ** 30, maxEntries: 5_000_000 };
const piece = 256 << 10;

/** Below `root` (services.root), which is this process's alone: what a killed one left there is removed at once. */
export function openUploads(root: string, limits: Partial<UploadLimits> = {}): Uploads {
  const parent = join(root, "contexts");
  const removal = new Removal(join(root, "removed"));
  mkdirSync(parent, { recursive: true, mode: 0o700 });
  for (const name of readdirSync(parent)) removal.discard(join(parent, name));
  return {
    receive: async (body, { signal, name = "context", progress }) => {
      const path = mkdtempSync(join(parent, "upload-"));
      const close = async () => removal.discard(path);
      try {
        const hashes = await unpack(body, path, { ...defaultLimits, ...limits }, signal, progress);
        return contextOf(name, path, hashes, close);
      } catch (error) {
        await close();
        throw error;
      }
    },
  };
}

function contextOf(
  name: string,
  path: string,
  hashes: FileHashes,
  close: () => Promise<void>,
): UploadedContext {
  const check = (asked: string) => {
    if (asked !== name) throw notFound(`the build has no context ${JSON.stringify(asked)}`);
  };
  return {
    has: (asked) => asked === name,
    open: async (asked) => {
      check(asked);
      return { path, hashes, close: async () => {} };
    },
    read: async (asked, file, limit) => {
      check(asked);
      return readContextFile(path, file, limit);
    },
    close,
  };
}

async function unpack(
  body: AsyncIterable<Uint8Array>,
  path: string,
  limits: UploadLimits,
  signal: AbortSignal,
  progress: ((bytes: number) => void) | undefined,
): Promise<FileHashes> {
  const hashes = new UploadedHashes();
  const sink = new HashingSink(path, hashes);
  try {
    const reader = new TarReader(sink, { ...limits, maxHeaderSize: 1 << 20, maxPathLength: 4095 });
    const turns = new Turns(signal);
    let size = 0;
    const counted = counting(body, progress);
    for await (const chunk of decompress(counted, { what: "build context", any: true })) {
      turns.refuseAborted();
      size += chunk.length;
      if (size > limits.maxSize)
        throw new CortenError("resource_exhausted", `build context: more than ${limits.maxSize} bytes`);
      for (let at = 0; at < chunk.length; at += piece) {
        reader.push(chunk.subarray(at, at + piece));
        if (turns.due) await turns.pause();
      }
    }
    reader.finish();
    sink.finish();
    return hashes;
  } catch (error) {
    if (error instanceof CortenError && error.code === "invalid_argument")
      throw invalid(`Error processing tar file: ${messageOf(error)}`, error);
    throw error;
  } finally {
    sink[Symbol.dispose]();
  }
}

async function* counting(
  body: AsyncIterable<Uint8Array>,
  progress: ((bytes: number) => void) | undefined,
): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    progress?.(bytes);
    yield chunk;
  }
}

/** Unpacks, and digests every file while its bytes are at hand. */
class HashingSink implements TarSink, Disposable {
  readonly #extractor: Extractor;
  #hash: Hash | undefined;

  constructor(path: string, hashes: UploadedHashes) {
    this.#extractor = new Extractor(path, undefined, {
      plain: true,
      lenient: true,
      owner: { uid: 0, gid: 0 },
      file: (fd, entry) => hashes.add(statManyFd(fd).stamp, this.#digest(entry)),
    });
  }

  entry(entry: TarEntry): void {
    this.#hash = entry.type === "file" ? createHash("sha256") : undefined;
    this.#extractor.entry(entry);
  }

  data(bytes: Uint8Array): void {
    this.#hash?.update(bytes);
    this.#extractor.data(bytes);
  }

  end(): void {
    this.#extractor.end();
  }

  finish(): void {
    this.#extractor.finish();
  }

  #digest(entry: TarEntry): Digest | undefined {
    const content = this.#hash?.digest("hex");
    // Attributes may not all have been set: such files are looked at when they are used.
    if (content === undefined || entry.xattrs.some(({ name }) => isCounted(name))) return undefined;
    return `sha256:${content}`;
  }

  [Symbol.dispose](): void {
    this.#extractor[Symbol.dispose]();
  }
}

/** By what the file is, not by its name: names in an archive may lead through links. */
class UploadedHashes implements FileHashes {
  readonly #known = new Map<string, Digest>();

  add(stamp: string, digest: Digest | undefined): void {
    if (digest === undefined) this.#known.delete(stamp);
    else this.#known.set(stamp, digest);
  }

  get(_path: string, stamp: string): Digest | undefined {
    return this.#known.get(stamp);
  }

  set(_path: string, stamp: string, digest: Digest): void {
    this.#known.set(stamp, digest);
  }
}
