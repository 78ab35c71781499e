import { volumeUsers } from "../container/remove.ts";
import type { Handler } from "../daemon.ts";

/** `DELETE /volumes/{name}?force=`. */
export const remove: Handler = ({ daemon, params, query, reply }) => {
  const name = params["name"]!;
  const driver = daemon.volumes.find(name)?.driver ?? "local";
  if (daemon.volumes.remove(name, volumeUsers(daemon, name), query.bool("force")))
    daemon.events.publish("volume", "destroy", name, { driver });
  reply.empty(204);
};
