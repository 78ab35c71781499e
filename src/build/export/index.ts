/** Outputs of a build: images, archives, directories, and caches for other machines. */
export { exportCache } from "./cache-export.ts";
export { importCache } from "./cache-import.ts";
export { exportResult } from "./export-result.ts";
export type {
  CacheRecord,
  ExportContext,
  ImportedCache,
  ImportedRecord,
  LayerMemory,
  Material,
  ProvenanceFacts,
} from "./types.ts";
