import { unimplemented } from "../../base/errors.ts";
import type { BuildRequest, BuildResult, CacheSpec } from "../types.ts";
import type { CacheRecord, ExportContext } from "./types.ts";

/**
 * Writes the cache of a build (BuildKit's cacheconfig v0) to a registry or directory. `inline` is part of the image:
 * give its records to exportResult's context instead; here it does nothing.
 */
export async function exportCache(
  _spec: CacheSpec,
  _records: readonly CacheRecord[],
  _request: BuildRequest,
  _context: ExportContext,
): Promise<BuildResult["response"]> {
  throw unimplemented("cache exports are being written");
}
