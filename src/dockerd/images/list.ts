import type { ImageSummary } from "../../engine/types.ts";
import { familiarName, familiarReference } from "../../oci/reference.ts";
import type { Daemon, Handler } from "../daemon.ts";
import { Filters } from "../http/filters.ts";
import { atLeast } from "../http/router.ts";
import { parseTimestamp } from "../time.ts";
import { type ImageInfo, parentLabel, parseRecord, repoDigests, repoTags } from "./store.ts";

/** `GET /images/json?all=&filters=&digests=&shared-size=`. */
export const list: Handler = async (call) => {
  const { daemon, query, reply } = call;
  const filters = Filters.parse(query, ["before", "dangling", "label", "reference", "since", "until"]);
  const images = await daemon.images.list();
  const created = async (name: string) => createdAt(await daemon.images.get(name));
  const before = filters.has("before") ? await created(filters.get("before")[0]!) : undefined;
  const since = filters.has("since") ? await created(filters.get("since")[0]!) : undefined;
  const until = filters.has("until")
    ? Number(parseTimestamp(filters.get("until")[0]!)! / 1_000_000_000n)
    : undefined;
  const dangling = filters.bool("dangling");
  const patterns = filters.get("reference");
  const selected: ImageInfo[] = [];
  for (const image of images) {
    const time = createdAt(image);
    if (before !== undefined && time >= before) continue;
    if (since !== undefined && time <= since) continue;
    if (until !== undefined && time >= until) continue;
    if (!filters.labels("label", image.content.config.config?.Labels)) continue;
    const named = image.records.some((record) => parseRecord(record) !== undefined);
    if (dangling !== undefined && dangling === named) continue;
    if (patterns.length > 0) {
      image.records = image.records.filter((record) =>
        patterns.some((pattern) => matchesReference(pattern, record)),
      );
      if (image.records.length === 0) continue;
    }
    selected.push(image);
  }
  const legacy = query.string("filter");
  const chosen =
    legacy !== "" && !atLeast(call, "1.28")
      ? selected.filter((image) => image.records.some((record) => matchesReference(legacy, record)))
      : selected;
  const summaries = await Promise.all(chosen.map((image) => summary(daemon, image, atLeast(call, "1.44"))));
  reply.json(
    200,
    summaries.sort((a, b) => b.Created - a.Created || (a.Id < b.Id ? -1 : 1)),
  );
};

const createdAt = (image: ImageInfo): number => {
  const time = Date.parse(image.content.config.created ?? "");
  return Number.isNaN(time) ? 0 : Math.floor(time / 1000);
};

export async function summary(
  daemon: Daemon,
  image: ImageInfo,
  newer: boolean,
  counts = false,
): Promise<ImageSummary> {
  const size = await daemon.images.size(image.content);
  const tags = repoTags(image);
  return {
    Containers: counts ? daemon.containers.all().filter((one) => one.record.image === image.id).length : -1,
    Created: createdAt(image),
    Id: image.id,
    Labels: image.content.config.config?.Labels ?? null,
    ParentId: image.labels[parentLabel] ?? "",
    RepoDigests: repoDigests(image),
    RepoTags: tags,
    SharedSize: -1,
    Size: size,
    ...(newer ? {} : { VirtualSize: size }),
  };
}

/** Go's path.Match on the familiar name, with and without its tag. */
function matchesReference(pattern: string, record: string): boolean {
  const parsed = parseRecord(record);
  if (!parsed) return false;
  const test = globPattern(pattern);
  return test.test(familiarReference(parsed)) || test.test(familiarName(parsed)) || test.test(record);
}

function globPattern(pattern: string): RegExp {
  const source = pattern
    .replace(/[.+^${}()|\\]/g, "\\$&")
    .replaceAll("*", "[^/]*")
    .replaceAll("?", "[^/]");
  try {
    return new RegExp(`^${source}$`);
  } catch {
    return /^$a/;
  }
}
