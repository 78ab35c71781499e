import { unimplemented } from "../../base/errors.ts";
import type { BuildRequest, CacheSpec } from "../types.ts";
import type { ExportContext, ImportedCache } from "./types.ts";

/** Reads the manifest and the config of a cache; undefined when there is none (a first build), which is no failure. */
export async function importCache(
  _spec: CacheSpec,
  _request: BuildRequest,
  _context: Pick<ExportContext, "client" | "snapshotter" | "services">,
): Promise<ImportedCache | undefined> {
  throw unimplemented("cache imports are being written");
}
