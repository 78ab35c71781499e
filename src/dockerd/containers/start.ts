import { invalid } from "../../base/errors.ts";
import { findCheckpoint } from "../checkpoints/directory.ts";
import { startContainer } from "../container/start.ts";
import type { Handler } from "../daemon.ts";

/** `POST /containers/{id}/start?checkpoint=&checkpoint-dir=`. */
export const start: Handler = async ({ daemon, params, query, reply }) => {
  const container = daemon.containers.get(params["id"]!);
  const checkpoint = query.string("checkpoint");
  if (checkpoint !== "" && !daemon.config.experimental)
    throw invalid("checkpoint is only supported in experimental mode");
  await startContainer(
    daemon,
    container,
    checkpoint === ""
      ? undefined
      : findCheckpoint(daemon, container, checkpoint, query.string("checkpoint-dir")),
  );
  reply.empty(204);
};
