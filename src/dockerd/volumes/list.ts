import { volumeUsers } from "../container/remove.ts";
import type { Handler } from "../daemon.ts";
import { Filters } from "../http/filters.ts";
import { view } from "./view.ts";

/** `GET /volumes?filters=`. */
export const list: Handler = ({ daemon, query, reply }) => {
  const filters = Filters.parse(query, ["dangling", "name", "driver", "label"]);
  const dangling = filters.bool("dangling");
  const volumes = daemon.volumes
    .all()
    .filter(
      (volume) =>
        filters.match("name", volume.name) &&
        filters.exact("driver", volume.driver) &&
        filters.labels("label", volume.labels) &&
        (dangling === undefined || dangling === (volumeUsers(daemon, volume.name).length === 0)),
    );
  reply.json(200, { Volumes: volumes.map(view), Warnings: null });
};
