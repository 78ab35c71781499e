import { readdirSync } from "node:fs";
import { notFound } from "../../base/errors.ts";
import type { Checkpoint } from "../../engine/types.ts";
import type { Handler } from "../daemon.ts";
import { checkpointsOf, isDirectory } from "./directory.ts";

/** `GET /containers/{id}/checkpoints?dir=`. */
export const list: Handler = ({ daemon, params, query, reply }) => {
  const container = daemon.containers.get(params["id"]!);
  const asked = query.string("dir");
  const path = checkpointsOf(daemon, container, asked);
  const found = isDirectory(path);
  if (!found && asked !== "")
    throw notFound(
      `checkpoint directory ${JSON.stringify(path)} does not exist for container ${params["id"]}`,
    );
  const entries = found ? readdirSync(path, { withFileTypes: true }) : [];
  const checkpoints: Checkpoint[] = entries
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => ({ Name: name }))
    .sort((a, b) => (a.Name < b.Name ? -1 : 1));
  reply.json(200, checkpoints);
};
