import type { Digest } from "../../oci/digest.ts";
import type { Layer } from "../types.ts";

/** BuildKit's record types (client.UsageRecordType). */
export type RecordType =
  | "regular"
  | "internal"
  | "frontend"
  | "source.local"
  | "source.git.checkout"
  | "exec.cachemount";

/** One entry of `docker buildx du`, and of BuildCache in /system/df. */
export interface UsageRecord {
  id: string;
  parents: readonly string[];
  type: RecordType;
  description: string;
  mutable: boolean;
  /** A build uses it, or something that is built on it. */
  inUse: boolean;
  /** An image has the same layers. */
  shared: boolean;
  /** Bytes of what it adds to its parents. */
  size: number;
  createdAt: Date;
  lastUsedAt: Date | undefined;
  usageCount: number;
}

/** A step's result that is remembered. */
export interface StoredResult {
  id: string;
  /** Canonical. */
  key: Digest;
  /** Bottom first, those of the base included. */
  layers: readonly Layer[];
  createdAt: Date;
}

export interface NewRecord {
  key: Digest;
  /** Other keys that lead to it. */
  aliases: readonly Digest[];
  layers: readonly Layer[];
  /** How many of the layers are its base's. */
  below: number;
  /** Keys of the records it is built on. */
  parents: readonly Digest[];
  description: string;
  type: RecordType;
}

/** What is removed, in the words of BuildKit's PruneRequest and of Docker's `POST /build/prune`. */
export interface PruneOptions {
  /** Also what images share, and internal records. */
  all?: boolean;
  /** `id`, `parent`, `type`, `description`, `inuse`, `shared`, `private`, `mutable`, `immutable`, `until`, `unused-for`. */
  filters?: Readonly<Record<string, readonly string[]>>;
  /** For a caller's own filter language. */
  matches?: (record: UsageRecord) => boolean;
  /** Milliseconds: what was used within them stays. */
  keepDuration?: number;
  /** Bytes that may always be kept (`keep-storage` of older clients). */
  reservedSpace?: number;
  /** Bytes the cache may use at most. */
  maxUsedSpace?: number;
  /** Bytes of the file system that are to be free. */
  minFreeSpace?: number;
  signal?: AbortSignal;
  onRemoved?: (record: UsageRecord) => void;
}

export interface PruneResult {
  ids: string[];
  spaceReclaimed: number;
}

/** Results that a build relies on; none of them is pruned before it lets go. */
export interface Uses extends Disposable {
  add(id: string): void;
}
