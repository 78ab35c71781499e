import { rmSync } from "node:fs";
import type { Handler } from "../daemon.ts";
import { findCheckpoint } from "./directory.ts";

/** `DELETE /containers/{id}/checkpoints/{checkpoint}?dir=`. */
export const remove: Handler = ({ daemon, params, query, reply }) => {
  const container = daemon.containers.get(params["id"]!);
  rmSync(findCheckpoint(daemon, container, params["checkpoint"]!, query.string("dir")), { recursive: true });
  reply.empty(204);
};
