import type { Layer } from "../types.ts";
import { aliasSelector, type CacheRecordEntry } from "./cache-format.ts";
import type { CacheRecord } from "./types.ts";

/**
 * `moby.buildkit.cache.v0` of an image's config: the records whose results are the image's own lowest layers, base64 of
 * JSON as BuildKit has it; layers are counted in the image.
 */
export function inlineRecords(
  records: readonly CacheRecord[],
  layers: readonly Layer[],
  epoch?: number,
): string | undefined {
  const names = layers.map((layer) => layer.snapshot);
  const entries = recordEntries(
    records.filter((record) => record.final),
    (record) => {
      const own = record.layers.map((layer) => layer.snapshot);
      return own.length <= names.length && own.every((name, at) => name === names[at])
        ? own.length - 1
        : undefined;
    },
    epoch,
  );
  return entries.length === 0 ? undefined : Buffer.from(JSON.stringify(entries)).toString("base64");
}

/** Records with their aliases; `layerOf` gives the index of a result's top layer, or undefined to leave it out. */
export function recordEntries(
  records: readonly CacheRecord[],
  layerOf: (record: CacheRecord) => number | undefined,
  epoch?: number,
): CacheRecordEntry[] {
  const entries: CacheRecordEntry[] = [];
  const known = new Set<string>();
  for (const record of records) {
    // The empty root filesystem needs no cache.
    const top = record.layers.length === 0 ? undefined : layerOf(record);
    if (top === undefined || known.has(record.key)) continue;
    known.add(record.key);
    const link = entries.length;
    const created = epoch === undefined ? record.createdAt : new Date(epoch * 1000);
    const createdAt = (created ?? new Date(0)).toISOString();
    entries.push({ digest: record.key, layers: [{ layer: top, createdAt }] });
    for (const alias of record.aliases) {
      if (known.has(alias)) continue;
      known.add(alias);
      entries.push({ digest: alias, inputs: [[{ selector: aliasSelector, link }]] });
    }
  }
  return entries;
}
