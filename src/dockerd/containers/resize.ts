import { conflict, invalid } from "../../base/errors.ts";
import { containerEvent } from "../container/events.ts";
import type { Handler } from "../daemon.ts";
import type { Query } from "../http/query.ts";

/** Rows and columns of `?h=&w=`. */
export function sizeOf(query: Query): { height: number; width: number } {
  const side = (name: string) => {
    const value = query.int(name);
    if (value === undefined || value < 0 || value > 65535)
      throw invalid(`strconv.Atoi: parsing ${JSON.stringify(query.string(name))}: invalid syntax`);
    return value;
  };
  return { height: side("h"), width: side("w") };
}

/** `POST /containers/{id}/resize?h=&w=`. */
export const resize: Handler = async ({ daemon, params, query, reply }) => {
  const size = sizeOf(query);
  const container = daemon.containers.get(params["id"]!);
  if (!container.state.running) throw conflict(`container ${container.id} is not running`);
  await daemon.containerd.tasks.resizePty({ containerId: container.id, ...size });
  containerEvent(daemon, container, "resize", { height: String(size.height), width: String(size.width) });
  reply.empty(200);
};
