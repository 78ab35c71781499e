import { killContainer } from "../container/stop.ts";
import type { Handler } from "../daemon.ts";

/** `POST /containers/{id}/kill?signal=`. */
export const kill: Handler = async ({ daemon, params, query, reply }) => {
  await killContainer(daemon, daemon.containers.get(params["id"]!), query.string("signal"));
  reply.empty(204);
};
