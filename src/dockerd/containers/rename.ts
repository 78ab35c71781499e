import { invalid } from "../../base/errors.ts";
import { containerEvent } from "../container/events.ts";
import type { Handler } from "../daemon.ts";

/** `POST /containers/{id}/rename?name=`. */
export const rename: Handler = async ({ daemon, params, query, reply }) => {
  const container = daemon.containers.get(params["id"]!);
  const name = query.string("name");
  if (name === "") throw invalid("Neither old nor new names may be empty");
  await daemon.locks.run(container.id, () => {
    const before = container.name;
    if (name.replace(/^\//, "") === before)
      throw invalid("Renaming a container with the same name as its current name");
    container.record.name = daemon.containers.reserve(name, container.id);
    daemon.containers.release(before, container.id);
    daemon.containers.save(container);
    daemon.networks.rename(container.id, container.name);
    containerEvent(daemon, container, "rename", { oldName: `/${before}` });
  });
  reply.empty(204);
};
