import { rmSync } from "node:fs";
import { CheckpointOptionsSchema } from "../../../proto/gen/containerd/runc/v1/oci_pb.ts";
import { conflict, internal, messageOf, unimplemented } from "../../base/errors.ts";
import { span } from "../../base/trace.ts";
import { packAny } from "../../containerd/client/index.ts";
import type { CreateCheckpointRequest } from "../../engine/types.ts";
import { containerEvent } from "../container/events.ts";
import { runtimeOf } from "../container/start.ts";
import type { Handler } from "../daemon.ts";
import type { Shape } from "../http/decode.ts";
import { bodyOf } from "../http/router.ts";
import { checkCheckpointId, makeCheckpoint } from "./directory.ts";
import { checkpointingShim } from "./options.ts";

const shape: Shape = {
  fields: { CheckpointID: "string", CheckpointDir: "string", Exit: "boolean" },
};

/** `POST /containers/{id}/checkpoints`. */
export const create: Handler = async (call) => {
  const { daemon, params, reply } = call;
  const request = await bodyOf<CreateCheckpointRequest>(call, shape);
  const checkpoint = request.CheckpointID ?? "";
  checkCheckpointId(checkpoint);
  const container = daemon.containers.get(params["id"]!);
  const exit = request.Exit ?? false;
  await daemon.locks.run(container.id, async () => {
    const { state, id, record } = container;
    if (!state.running || state.restarting) throw conflict(`Container ${id} is not running`);
    if (runtimeOf(daemon, record.host.Runtime).name !== checkpointingShim)
      throw unimplemented(`containers of the runtime ${record.host.Runtime} cannot be checkpointed`);
    const imagePath = makeCheckpoint(daemon, container, checkpoint, request.CheckpointDir ?? "");
    // Its end is asked for: a restart policy has nothing to say.
    const { manuallyStopped } = record;
    record.manuallyStopped ||= exit;
    container.stopping = exit;
    try {
      await span("dockerd", "checkpoint task", () =>
        daemon.containerd.tasks.checkpoint({
          containerId: id,
          options: packAny(CheckpointOptionsSchema, { exit, imagePath }),
        }),
      );
    } catch (error) {
      record.manuallyStopped = manuallyStopped;
      container.stopping = false;
      rmSync(imagePath, { recursive: true, force: true });
      throw internal(`Cannot checkpoint container ${params["id"]}: ${messageOf(error)}`, error);
    }
    containerEvent(daemon, container, "checkpoint");
  });
  // Who starts it from the checkpoint next finds it stopped.
  if (exit) await container.exitHandled;
  reply.empty(201);
};
