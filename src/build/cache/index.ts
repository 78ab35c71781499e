/** What is remembered from build to build. */
export { Cache } from "./cache.ts";
export { defaultPolicy } from "./policy.ts";
export type {
  NewRecord,
  PruneOptions,
  PruneResult,
  RecordType,
  StoredResult,
  UsageRecord,
  Uses,
} from "./types.ts";
