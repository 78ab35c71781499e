import { volumeUsers } from "../container/remove.ts";
import type { Handler } from "../daemon.ts";
import { Filters, hasLabel } from "../http/filters.ts";
import { atLeast } from "../http/router.ts";
import { directorySize } from "./size.ts";
import { anonymousLabel } from "./store.ts";

/** `POST /volumes/prune?filters=`: unused anonymous volumes; with `all=true` (and before API 1.42) named ones too. */
export const prune: Handler = async (call) => {
  const { daemon, query, reply } = call;
  const filters = Filters.parse(query, ["label", "label!", "all"]);
  const all = filters.bool("all") ?? !atLeast(call, "1.42");
  const deleted: string[] = [];
  let reclaimed = 0;
  for (const volume of daemon.volumes.all()) {
    if (volumeUsers(daemon, volume.name).length > 0) continue;
    if (!all && !(volume.labels && Object.hasOwn(volume.labels, anonymousLabel))) continue;
    if (!filters.labels("label", volume.labels)) continue;
    if (filters.get("label!").some((wanted) => hasLabel(wanted, volume.labels))) continue;
    const size = await directorySize(volume.mountpoint);
    if (!daemon.volumes.remove(volume.name, volumeUsers(daemon, volume.name), false)) continue;
    daemon.events.publish("volume", "destroy", volume.name, { driver: volume.driver });
    deleted.push(volume.name);
    reclaimed += size;
  }
  daemon.events.publish("volume", "prune", "", { reclaimed: String(reclaimed) });
  reply.json(200, { VolumesDeleted: deleted.length > 0 ? deleted : null, SpaceReclaimed: reclaimed });
};
