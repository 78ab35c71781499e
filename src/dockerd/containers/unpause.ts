import { conflict } from "../../base/errors.ts";
import { containerEvent } from "../container/events.ts";
import type { Handler } from "../daemon.ts";

/** `POST /containers/{id}/unpause`. */
export const unpause: Handler = async ({ daemon, params, reply }) => {
  const container = daemon.containers.get(params["id"]!);
  await daemon.locks.run(container.id, async () => {
    const { state, id } = container;
    if (!state.paused) throw conflict(`Container ${id} is not paused`);
    await daemon.containerd.tasks.resume({ containerId: id });
    state.paused = false;
    daemon.containers.save(container);
    containerEvent(daemon, container, "unpause");
  });
  reply.empty(204);
};
