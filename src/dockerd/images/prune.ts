import type { DeleteImageEntry } from "../../engine/types.ts";
import { familiarReference } from "../../oci/reference.ts";
import type { Handler } from "../daemon.ts";
import { Filters, hasLabel } from "../http/filters.ts";
import { parseTimestamp } from "../time.ts";
import { removeImage } from "./remove.ts";
import { parseRecord } from "./store.ts";

/** `POST /images/prune?filters=`: dangling images; with `dangling=false` all that no container uses. */
export const prune: Handler = async ({ daemon, query, reply }) => {
  const filters = Filters.parse(query, ["dangling", "label", "label!", "until"]);
  const onlyDangling = filters.bool("dangling") ?? true;
  const until = filters.has("until")
    ? Number(parseTimestamp(filters.get("until")[0]!)! / 1_000_000n)
    : undefined;
  const deleted: DeleteImageEntry[] = [];
  let reclaimed = 0;
  const used = new Set(daemon.containers.all().map((container) => container.record.image));
  for (const image of await daemon.images.list()) {
    const names = image.records.flatMap((record) => parseRecord(record) ?? []);
    if (onlyDangling && names.length > 0) continue;
    const labels = image.content.config.config?.Labels;
    if (!filters.labels("label", labels)) continue;
    if (filters.get("label!").some((wanted) => hasLabel(wanted, labels))) continue;
    if (until !== undefined && Date.parse(image.content.config.created ?? "") > until) continue;
    const size = await daemon.images.size(image.content);
    try {
      if (used.has(image.id)) {
        // A name may go as long as another one of the image remains.
        for (const name of names.slice(1))
          deleted.push(...(await removeImage(daemon, familiarReference(name), false)));
        continue;
      }
      if (names.length === 0) deleted.push(...(await removeImage(daemon, image.id, false)));
      for (const name of names) deleted.push(...(await removeImage(daemon, familiarReference(name), false)));
      reclaimed += size;
    } catch {
      // Taken into use or removed meanwhile.
    }
  }
  daemon.events.publish("image", "prune", "", { reclaimed: String(reclaimed) });
  reply.json(200, { ImagesDeleted: deleted.length > 0 ? deleted : null, SpaceReclaimed: reclaimed });
};
