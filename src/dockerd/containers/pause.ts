import { conflict } from "../../base/errors.ts";
import { containerEvent } from "../container/events.ts";
import type { Handler } from "../daemon.ts";

/** `POST /containers/{id}/pause`. */
export const pause: Handler = async ({ daemon, params, reply }) => {
  const container = daemon.containers.get(params["id"]!);
  await daemon.locks.run(container.id, async () => {
    const { state, id } = container;
    if (!state.running) throw conflict(`Container ${id} is not running`);
    if (state.paused) throw conflict(`container ${id} is already paused`);
    if (state.restarting)
      throw conflict(`Container ${id} is restarting, wait until the container is running`);
    await daemon.containerd.tasks.pause({ containerId: id });
    state.paused = true;
    daemon.containers.save(container);
    containerEvent(daemon, container, "pause");
  });
  reply.empty(204);
};
