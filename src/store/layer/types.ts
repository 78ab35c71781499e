import type { Digest } from "../../oci/digest.ts";
import type { Mount } from "../../sys/mount.ts";

/** Where a layer goes: a snapshot by its mounts, or a plain directory. */
export type LayerTarget = { mounts: readonly Mount[] } | { path: string };

/** A blob's file (fastest: read by the unpacking process itself) or any stream of bytes. */
export type LayerSource = { path: string } | AsyncIterable<Uint8Array>;

/** Bounds for untrusted archives; each has a generous default (see `defaultLimits`). */
export interface LayerLimits {
  /** Uncompressed bytes of the whole layer. */
  maxSize: number;
  maxEntries: number;
  /** Bytes of one PAX or GNU extension record. */
  maxHeaderSize: number;
  /** Bytes of one path; components are bounded by the kernel. */
  maxPathLength: number;
}

export interface ApplyOptions {
  limits?: Partial<LayerLimits>;
  /** Fails with `failed_precondition` when the uncompressed tar has another digest. */
  expectedDiffId?: Digest;
  signal?: AbortSignal;
  /** Where the work runs; default: `process` for large layers, `inline` for small ones. */
  where?: "inline" | "process";
}

export interface AppliedLayer {
  /** Digest of the uncompressed tar. */
  diffId: Digest;
  /** Size of the uncompressed tar. */
  size: number;
  entries: number;
}

export type LayerCompression = "none" | "gzip" | "zstd";

export interface DiffOptions {
  compression?: LayerCompression;
  /** Later times in the layer are clamped to this one (SOURCE_DATE_EPOCH). */
  sourceDateEpoch?: Date;
  /** The reader hashes the bytes itself: those of a layer that is not compressed are what its diff id names. */
  unhashed?: boolean;
}

export interface LayerDiff {
  /** The layer, compressed as asked. */
  stream: ReadableStream<Uint8Array>;
  /** Known when the stream has ended; the diff id is "" when it was not asked for. */
  result: Promise<{ diffId: Digest; size: number }>;
}
