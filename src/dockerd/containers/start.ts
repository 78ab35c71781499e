import { startContainer } from "../container/start.ts";
import type { Handler } from "../daemon.ts";

/** `POST /containers/{id}/start`. */
export const start: Handler = async ({ daemon, params, reply }) => {
  await startContainer(daemon, daemon.containers.get(params["id"]!));
  reply.empty(204);
};
