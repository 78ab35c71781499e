import type { HistoryEntry } from "../../engine/types.ts";
import type { Handler } from "../daemon.ts";
import { repoTags } from "./store.ts";

/** `GET /images/{name}/history`: newest first. */
export const history: Handler = async ({ daemon, params, reply }) => {
  const image = await daemon.images.get(params["name"]!);
  const all = (await daemon.images.byId(image.id)) ?? image;
  const sizes = await daemon.images.layerSizes(image.content);
  const steps =
    image.content.config.history ??
    sizes.map(() => ({}) as NonNullable<typeof image.content.config.history>[number]);
  let layer = 0;
  const entries = steps.map((step): HistoryEntry => {
    const time = Date.parse(step.created ?? "");
    return {
      Id: "<missing>",
      Created: Number.isNaN(time) ? 0 : Math.floor(time / 1000),
      CreatedBy: step.created_by ?? "",
      Tags: null,
      Size: step.empty_layer ? 0 : (sizes[layer++] ?? 0),
      Comment: step.comment ?? "",
    };
  });
  entries.reverse();
  if (entries[0]) {
    entries[0].Id = image.id;
    const tags = repoTags(all);
    entries[0].Tags = tags.length > 0 ? tags : null;
  }
  reply.json(200, entries);
};
