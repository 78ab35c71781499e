import { invalid } from "../../base/errors.ts";
import type { Handler } from "../daemon.ts";
import { Filters } from "../http/filters.ts";
import { view } from "./view.ts";

const predefined = new Set(["bridge", "host", "none"]);

/** `GET /networks?filters=`. */
export const list: Handler = ({ daemon, query, reply }) => {
  const filters = Filters.parse(query, ["dangling", "driver", "id", "label", "name", "scope", "type"]);
  const dangling = filters.bool("dangling");
  for (const type of filters.get("type"))
    if (type !== "custom" && type !== "builtin") throw invalid(`invalid filter: 'type'='${type}'`);
  const networks = daemon.networks.list().filter((network) => {
    const builtin = predefined.has(network.name);
    return (
      filters.exact("driver", network.driver) &&
      filters.exact("scope", network.scope) &&
      filters.match("name", network.name) &&
      filters.match("id", network.id) &&
      filters.labels("label", network.labels) &&
      (!filters.has("type") || filters.get("type").includes(builtin ? "builtin" : "custom")) &&
      (dangling === undefined ||
        (!builtin && dangling === (daemon.networks.endpoints(network.id).length === 0)))
    );
  });
  reply.json(
    200,
    networks.map((network) => view(daemon, network, false)),
  );
};
