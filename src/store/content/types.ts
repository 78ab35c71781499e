import type { Digest } from "../../oci/digest.ts";

/** A committed blob. Labels and namespaces are the metadata's business, not the store's. */
export interface ContentInfo {
  digest: Digest;
  size: number;
  createdAt: Date;
  updatedAt: Date;
}

/** An ingest under way (containerd's `content.Status`). */
export interface IngestStatus {
  ref: string;
  /** Bytes on disk; where a resumed writer goes on. */
  offset: number;
  /** Announced size, 0 when unknown. */
  total: number;
  /** Announced digest, "" when unknown. */
  expected: Digest | "";
  startedAt: Date;
  updatedAt: Date;
}

export interface WriterOptions {
  /** Announced size; 0 or absent when unknown. */
  total?: number;
  /** Announced digest; a blob that is already there makes `writer()` fail with `already_exists`. */
  expected?: Digest;
  /** How long to wait for another writer of the same ref before failing with `unavailable`; default 0. */
  waitMilliseconds?: number;
}

export interface CommitOptions {
  /** Fails with `failed_precondition` when the ingest has another size; 0 or absent: not checked. */
  size?: number;
  /** Fails with `failed_precondition` when the content has another digest. */
  expected?: Digest;
}

/** The one writer of a ref. `close()` without `commit()` keeps the ingest for a later resume. */
export interface ContentWriter extends AsyncDisposable {
  readonly ref: string;
  /** Bytes written so far (a resumed writer starts where the ingest stands). */
  readonly offset: number;
  status(): IngestStatus;
  /** Appends; the bytes may be reused by the caller when the promise resolves. */
  write(data: Uint8Array): Promise<void>;
  /** Digest of what was written so far. */
  digest(): Digest;
  /** Drops everything after `size` (mostly 0: a server that cannot resume). */
  truncate(size: number): Promise<void>;
  /** Verifies, makes durable, makes visible; the writer is closed then. `already_exists` if the blob is there. */
  commit(options?: CommitOptions): Promise<Digest>;
  close(): Promise<void>;
}

/** An open blob: goes on working when the blob is deleted meanwhile. */
export interface ReaderAt extends Disposable {
  readonly digest: Digest;
  readonly size: number;
  /** Fills `into` from `offset`; returns how many bytes there were (fewer only at the end). */
  readAt(into: Uint8Array, offset: number): Promise<number>;
  /** Streams `[offset, offset+length)`; closes the reader at its end or when cancelled. */
  stream(offset?: number, length?: number): ReadableStream<Uint8Array>;
  close(): void;
}

export interface ContentStore {
  info(digest: Digest): Promise<ContentInfo>;
  readerAt(digest: Digest): Promise<ReaderAt>;
  /** The whole blob, for manifests and configs; refuses blobs larger than `limit` (default 16 MiB). */
  readAll(digest: Digest, limit?: number): Promise<Uint8Array>;
  /** Where the blob's file is, for callers that hand it to another process. */
  path(digest: Digest): string;
  status(ref: string): Promise<IngestStatus>;
  statuses(): Promise<IngestStatus[]>;
  writer(ref: string, options?: WriterOptions): Promise<ContentWriter>;
  abort(ref: string): Promise<void>;
  delete(digest: Digest): Promise<void>;
  walk(visit: (info: ContentInfo) => void | Promise<void>): Promise<void>;
  close(): Promise<void>;
}
