/** What is remembered from build to build. */
export { Cache } from "./cache.ts";
export type {
  NewRecord,
  PruneOptions,
  PruneResult,
  RecordType,
  StoredResult,
  UsageRecord,
  Uses,
} from "./types.ts";
