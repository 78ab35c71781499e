import { conflict } from "../../base/errors.ts";
import { sizeOf } from "../containers/resize.ts";
import type { Handler } from "../daemon.ts";

/** `POST /exec/{id}/resize?h=&w=`; a client may ask while its start is still under way. */
export const resize: Handler = async ({ daemon, params, query, reply }) => {
  const exec = daemon.execs.get(params["id"]!);
  const size = sizeOf(query);
  for (let attempt = 0; exec.started && exec.endedAt === 0 && !exec.running && attempt < 100; attempt++)
    await new Promise((next) => setTimeout(next, 10));
  if (!exec.running) throw conflict(`exec process is not running: ${exec.id}`);
  await daemon.containerd.tasks.resizePty({ containerId: exec.containerId, execId: exec.id, ...size });
  reply.empty(200);
};
