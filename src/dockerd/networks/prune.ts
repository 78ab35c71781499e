import type { Handler } from "../daemon.ts";
import { Filters, hasLabel } from "../http/filters.ts";
import { parseRfc3339, parseTimestamp } from "../time.ts";

/** `POST /networks/prune?filters=`. */
export const prune: Handler = async ({ daemon, query, reply }) => {
  const filters = Filters.parse(query, ["label", "label!", "until"]);
  const until = filters.has("until") ? parseTimestamp(filters.get("until")[0]!) : undefined;
  // Networks that stopped containers will want again are not unused.
  const wanted = new Set(
    daemon.containers.all().flatMap((container) => Object.keys(container.record.networks)),
  );
  const deleted = await daemon.networks.prune(
    (network) =>
      !wanted.has(network.name) &&
      filters.labels("label", network.labels) &&
      !filters.get("label!").some((one) => hasLabel(one, network.labels)) &&
      (until === undefined || (parseRfc3339(network.created) ?? 0n) < until),
  );
  daemon.events.publish("network", "prune", "", { reclaimed: "0" });
  reply.json(200, { NetworksDeleted: deleted.length > 0 ? deleted : null });
};
