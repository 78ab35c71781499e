import { removeLink } from "../container/links.ts";
import { removeContainer } from "../container/remove.ts";
import type { Handler } from "../daemon.ts";

/** `DELETE /containers/{id}?v=&link=&force=`. */
export const remove: Handler = async ({ daemon, params, query, reply }) => {
  const name = params["id"]!;
  if (query.bool("link")) {
    removeLink(daemon, name);
    reply.empty(204);
    return;
  }
  const container = daemon.containers.get(name);
  await removeContainer(daemon, container, { volumes: query.bool("v"), force: query.bool("force") });
  reply.empty(204);
};
