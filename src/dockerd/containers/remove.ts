import { invalid } from "../../base/errors.ts";
import { removeContainer } from "../container/remove.ts";
import type { Handler } from "../daemon.ts";

/** `DELETE /containers/{id}?v=&link=&force=`. */
export const remove: Handler = async ({ daemon, params, query, reply }) => {
  const container = daemon.containers.get(params["id"]!);
  if (query.bool("link")) throw invalid("Conflict, cannot remove the default link name of the container");
  await removeContainer(daemon, container, { volumes: query.bool("v"), force: query.bool("force") });
  reply.empty(204);
};
