import { stopContainer } from "../container/stop.ts";
import type { Handler } from "../daemon.ts";

/** `POST /containers/{id}/stop?t=&signal=`. */
export const stop: Handler = async ({ daemon, params, query, reply }) => {
  const container = daemon.containers.get(params["id"]!);
  const timeout = query.int("t");
  const signal = query.string("signal");
  await stopContainer(daemon, container, {
    ...(timeout === undefined ? {} : { timeout }),
    ...(signal === "" ? {} : { signal }),
  });
  reply.empty(204);
};
