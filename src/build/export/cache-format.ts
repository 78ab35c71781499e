/** BuildKit's cache documents (cache/remotecache/v1): layers, and the records that lead to them. */
import { invalid } from "../../base/errors.ts";
import { type Digest, isDigest } from "../../oci/digest.ts";

export const cacheConfigType = "application/vnd.buildkit.cacheconfig.v0";
/** Field of an image's config. */
export const inlineField = "moby.buildkit.cache.v0";

export interface CacheLayer {
  blob: Digest;
  /** Index of the layer below; -1 is none. */
  parent: number;
  annotations: { mediaType: string; diffID: Digest; size: number; createdAt: string };
}

/**
 * A key of a step. `layers` names the top layer of its result. An alias is a record without layers whose only input is the
 * record of the canonical key, under this selector.
 */
export interface CacheRecordEntry {
  digest: Digest;
  layers?: { layer: number; createdAt: string }[];
  inputs?: { selector?: string; link: number }[][];
}

export interface CacheConfig {
  layers: CacheLayer[];
  records: CacheRecordEntry[];
}

/** Our keys are no keys of BuildKit's: each will find nothing in the other's caches, and take no harm. */
export const aliasSelector = "corten.alias";

const maxRecords = 100_000;

/** Checks a document of somebody else's before it is believed. `layers` absent: they are an image's, `count` of them. */
export function parseCacheConfig(value: unknown, count?: number): CacheConfig {
  const { layers = [], records = [] } = (value ?? {}) as { layers?: unknown; records?: unknown };
  if (!Array.isArray(layers) || !Array.isArray(records)) throw invalid("cache config: malformed");
  if (layers.length > maxRecords || records.length > maxRecords) throw invalid("cache config: too large");
  const checked = layers.map((layer: unknown, at): CacheLayer => {
    const { blob, parent = 0, annotations } = (layer ?? {}) as Partial<CacheLayer>;
    const { mediaType, diffID, size = 0, createdAt = "" } = annotations ?? {};
    if (typeof blob !== "string" || !isDigest(blob)) throw invalid(`cache config: layer ${at} has no blob`);
    if (!Number.isInteger(parent) || parent < -1 || parent >= layers.length || parent === at)
      throw invalid(`cache config: layer ${at} has a wrong parent`);
    if (typeof diffID !== "string" || !isDigest(diffID))
      throw invalid(`cache config: layer ${at} has no diff id`);
    if (typeof mediaType !== "string" || !Number.isSafeInteger(size) || size < 0)
      throw invalid(`cache config: layer ${at} has no type or size`);
    return { blob, parent, annotations: { mediaType, diffID, size, createdAt: String(createdAt) } };
  });
  const known = count ?? layers.length;
  return {
    layers: checked,
    records: records.map((record: unknown, at): CacheRecordEntry => {
      const { digest, layers: results = [], inputs = [] } = (record ?? {}) as Partial<CacheRecordEntry>;
      if (typeof digest !== "string") throw invalid(`cache config: record ${at} has no digest`);
      if (!Array.isArray(results) || !Array.isArray(inputs))
        throw invalid(`cache config: record ${at} is malformed`);
      return {
        digest,
        layers: results.flatMap(({ layer, createdAt = "" }) =>
          Number.isInteger(layer) && layer >= 0 && layer < known
            ? [{ layer, createdAt: String(createdAt) }]
            : [],
        ),
        inputs: inputs.flatMap((one) => (Array.isArray(one) ? [one] : [])),
      };
    }),
  };
}

/** Every key of the records, and the canonical one it leads to. */
export function keysOf(records: readonly CacheRecordEntry[]): Map<Digest, CacheRecordEntry> {
  const found = new Map<Digest, CacheRecordEntry>();
  for (const record of records) if ((record.layers ?? []).length > 0) found.set(record.digest, record);
  for (const record of records) {
    if ((record.layers ?? []).length > 0 || found.has(record.digest)) continue;
    const link = record.inputs?.flat().find((input) => input?.selector === aliasSelector)?.link;
    const target = link === undefined ? undefined : records[link];
    if (target && (target.layers ?? []).length > 0) found.set(record.digest, target);
  }
  return found;
}
