import { removeContainer } from "../container/remove.ts";
import type { Handler } from "../daemon.ts";
import { Filters, hasLabel } from "../http/filters.ts";
import { parseRfc3339, parseTimestamp } from "../time.ts";

/** `POST /containers/prune?filters=`: every container that does not run. */
export const prune: Handler = async ({ daemon, query, reply }) => {
  const filters = Filters.parse(query, ["label", "label!", "until"]);
  const until = filters.has("until") ? parseTimestamp(filters.get("until")[0]!) : undefined;
  const deleted: string[] = [];
  let reclaimed = 0;
  for (const container of daemon.containers.all()) {
    const { record } = container;
    if (container.state.running) continue;
    if (until !== undefined && (parseRfc3339(record.created) ?? 0n) > until) continue;
    if (!filters.labels("label", record.config.Labels)) continue;
    if (filters.get("label!").some((wanted) => hasLabel(wanted, record.config.Labels))) continue;
    try {
      const usage = await daemon.containerd.snapshots.usage({
        snapshotter: record.snapshotter,
        key: record.id,
      });
      await removeContainer(daemon, container, { volumes: false, force: false });
      reclaimed += Number(usage.size);
      deleted.push(record.id);
    } catch {
      // Started or removed by somebody else meanwhile.
    }
  }
  daemon.events.publish("container", "prune", "", { reclaimed: String(reclaimed) });
  reply.json(200, { ContainersDeleted: deleted.length > 0 ? deleted : null, SpaceReclaimed: reclaimed });
};
