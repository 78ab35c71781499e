import type { UsageRecord } from "../../build/cache/index.ts";
import type { BuildCacheRecord } from "../../engine/types.ts";

/** An entry of `BuildCache` in `GET /system/df`. */
export const cacheView = (record: UsageRecord): BuildCacheRecord => ({
  ID: record.id,
  ...(record.parents.length === 0 ? {} : { Parents: [...record.parents] }),
  Type: record.type,
  Description: record.description,
  InUse: record.inUse,
  Shared: record.shared,
  Size: record.size,
  CreatedAt: record.createdAt.toISOString(),
  LastUsedAt: record.lastUsedAt?.toISOString() ?? null,
  UsageCount: record.usageCount,
});
