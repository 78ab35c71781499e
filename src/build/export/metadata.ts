import type { ExporterResponse } from "../types.ts";

/** What `--metadata-file` holds: the response with its documents as JSON rather than as text, keys sorted as buildx does. */
export function metadataOf(response: ExporterResponse): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(response)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, value]) => [key, readable(key, value)]),
  );
}

function readable(key: string, value: string): unknown {
  if (key === "containerimage.descriptor") return JSON.parse(Buffer.from(value, "base64").toString("utf8"));
  if (key === "cache.manifest" || key.startsWith("buildx.build.provenance")) return JSON.parse(value);
  return value;
}
