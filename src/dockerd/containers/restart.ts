import { isCode } from "../../base/errors.ts";
import { containerEvent } from "../container/events.ts";
import { startContainer } from "../container/start.ts";
import { stopContainer } from "../container/stop.ts";
import type { Handler } from "../daemon.ts";

/** `POST /containers/{id}/restart?t=&signal=`: a stop and a start; `--rm` does not come between them. */
export const restart: Handler = async ({ daemon, params, query, reply }) => {
  const container = daemon.containers.get(params["id"]!);
  const timeout = query.int("t");
  const signal = query.string("signal");
  const { host } = container.record;
  const autoRemove = host.AutoRemove;
  host.AutoRemove = false;
  try {
    if (container.state.running)
      await stopContainer(daemon, container, {
        ...(timeout === undefined ? {} : { timeout }),
        ...(signal === "" ? {} : { signal }),
      }).catch((error) => {
        if (!isCode(error, "not_modified")) throw error;
      });
    await container.exitHandled;
  } finally {
    host.AutoRemove = autoRemove;
  }
  await startContainer(daemon, container);
  containerEvent(daemon, container, "restart");
  reply.empty(204);
};
