import type { Hash } from "node:crypto";
import {
  closeSync,
  existsSync,
  fsync,
  ftruncateSync,
  mkdirSync,
  renameSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { CortenError, conflict } from "../../base/errors.ts";
import type { Digest } from "../../oci/digest.ts";
import { rawSyscall } from "../../sys/libc.ts";
import { syncDirectory } from "../durable.ts";
import { hashPrefix, type OpenIngest } from "./ingest.ts";
import type { CommitOptions, ContentWriter, IngestStatus } from "./types.ts";

const fsyncAsync = promisify(fsync);

/** Every so many bytes the kernel is told to start writing, so that the fsync of a large blob finds little left. */
const writebackStep = 8 << 20;
const SYNC_FILE_RANGE_WRITE = 2;

export class Writer implements ContentWriter {
  readonly ref: string;
  readonly #ingest: OpenIngest;
  readonly #expected: Digest | "";
  readonly #blobPath: (digest: Digest) => string;
  readonly #release: () => void;
  readonly #discard: (directory: string) => void;
  #hash: Hash;
  #offset: number;
  #flushed: number;
  #open = true;
  #updatedAt = new Date();

  constructor(
    ingest: OpenIngest & { expected: Digest | "" },
    blobPath: (digest: Digest) => string,
    release: () => void,
    discard: (directory: string) => void,
  ) {
    this.ref = ingest.ref;
    this.#ingest = ingest;
    this.#expected = ingest.expected;
    this.#hash = ingest.hash;
    this.#offset = ingest.offset;
    this.#flushed = ingest.offset;
    this.#blobPath = blobPath;
    this.#release = release;
    this.#discard = discard;
  }

  get offset(): number {
    return this.#offset;
  }

  status(): IngestStatus {
    const { ref, total, startedAt } = this.#ingest;
    return {
      ref,
      offset: this.#offset,
      total,
      expected: this.#expected,
      startedAt,
      updatedAt: this.#updatedAt,
    };
  }

  async write(data: Uint8Array): Promise<void> {
    this.#mustBeOpen();
    for (let done = 0; done < data.length; ) {
      const wrote = writeSync(this.#ingest.fd, data, done, data.length - done, this.#offset);
      // What reached the file is hashed at once: after a full disk the two still agree.
      this.#hash.update(data.subarray(done, done + wrote));
      this.#offset += wrote;
      done += wrote;
    }
    this.#updatedAt = new Date();
    if (this.#offset - this.#flushed >= writebackStep) {
      rawSyscall(
        "sync_file_range",
        this.#ingest.fd,
        this.#flushed,
        this.#offset - this.#flushed,
        SYNC_FILE_RANGE_WRITE,
      );
      this.#flushed = this.#offset;
    }
  }

  digest(): Digest {
    return `sha256:${this.#hash.copy().digest("hex")}`;
  }

  async truncate(size: number): Promise<void> {
    this.#mustBeOpen();
    if (size > this.#offset)
      throw new CortenError(
        "out_of_range",
        `ref ${this.ref} has ${this.#offset} bytes, cannot grow to ${size}`,
      );
    ftruncateSync(this.#ingest.fd, size);
    this.#offset = size;
    this.#flushed = Math.min(this.#flushed, size);
    this.#hash = await hashPrefix(this.#ingest.fd, size);
  }

  /** A commit that fails its checks leaves the ingest: the caller aborts it or goes on from its offset. */
  async commit(options: CommitOptions = {}): Promise<Digest> {
    this.#mustBeOpen();
    this.#open = false;
    try {
      const digest = this.digest();
      const expected = options.expected || this.#expected;
      if (options.size && options.size !== this.#offset)
        throw conflict(
          `unexpected commit size ${this.#offset}, expected ${options.size}: failed precondition`,
        );
      if (expected && expected !== digest)
        throw conflict(`unexpected commit digest ${digest}, expected ${expected}: failed precondition`);
      await this.#publish(digest);
      return digest;
    } finally {
      closeSync(this.#ingest.fd);
      this.#release();
    }
  }

  async #publish(digest: Digest): Promise<void> {
    const path = this.#blobPath(digest);
    if (existsSync(path)) {
      this.#discard(this.#ingest.directory);
      throw new CortenError("already_exists", `content ${digest}: already exists`);
    }
    rawSyscall("fchmod", this.#ingest.fd, 0o444);
    await fsyncAsync(this.#ingest.fd);
    mkdirSync(dirname(path), { recursive: true, mode: 0o711 });
    renameSync(join(this.#ingest.directory, "data"), path);
    await syncDirectory(dirname(path));
    this.#discard(this.#ingest.directory);
  }

  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    closeSync(this.#ingest.fd);
    try {
      writeFileSync(join(this.#ingest.directory, "updatedat"), this.#updatedAt.toISOString());
    } catch (error) {
      // Aborted while it was open: there is nothing left to note.
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    } finally {
      this.#release();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #mustBeOpen(): void {
    if (!this.#open) throw conflict(`writer of ref ${this.ref} is closed`);
  }
}
