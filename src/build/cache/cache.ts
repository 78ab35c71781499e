import { unimplemented } from "../../base/errors.ts";
import type { Digest } from "../../oci/digest.ts";
import type { LayerMemory } from "../export/index.ts";
import type { BuildServices, CacheMounts, Layer } from "../types.ts";
import type { NewRecord, PruneOptions, PruneResult, StoredResult, UsageRecord, Uses } from "./types.ts";

/** What builds remember: results by key, and the directories of RUN --mount=type=cache. */
export abstract class Cache implements LayerMemory, CacheMounts {
  /** Opens `<root>/cache.db` and makes it agree with what containerd has. */
  static async open(_services: Pick<BuildServices, "client" | "snapshotter" | "root">): Promise<Cache> {
    throw unimplemented("being written");
  }
  /** The canonical key that a key leads to. */
  abstract resolve(key: Digest): Digest | undefined;
  /** The result with this canonical key, if its snapshot is still there; counts as a use. */
  abstract find(key: Digest, uses: Uses): Promise<StoredResult | undefined>;
  /** Remembers a result: its layers are held by leases of the cache from then on. */
  abstract put(record: NewRecord, uses: Uses): Promise<StoredResult>;
  abstract alias(from: Digest, key: Digest): void;
  abstract uses(): Uses;
  abstract recall(snapshot: string): Promise<Pick<Layer, "diffId" | "blob"> | undefined>;
  abstract remember(layer: Layer): Promise<void>;
  abstract mount(id: string, options: Parameters<CacheMounts["mount"]>[1]): ReturnType<CacheMounts["mount"]>;
  abstract usage(): Promise<UsageRecord[]>;
  abstract prune(options: PruneOptions): Promise<PruneResult>;
  abstract close(): Promise<void>;
}
