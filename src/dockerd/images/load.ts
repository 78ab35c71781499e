import { messageOf } from "../../base/errors.ts";
import { loadArchive } from "../../containerd/client/index.ts";
import { familiarReference, parseReference } from "../../oci/reference.ts";
import type { Handler } from "../daemon.ts";
import { layerLine, ProgressStream } from "./progress.ts";

/** `POST /images/load?quiet=`: images from a tar of `docker save` or an OCI layout. Failures are lines of the stream. */
export const load: Handler = async ({ daemon, query, body, reply, signal }) => {
  const quiet = query.bool("quiet");
  const progress = new ProgressStream(reply);
  try {
    await loadArchive(daemon.containerd, body, {
      snapshotter: daemon.config.snapshotter,
      signal,
      ...(quiet
        ? {}
        : {
            onProgress: (event) => {
              if (event.status === "Extracting")
                progress.send({ ...layerLine(event), status: "Loading layer" });
            },
          }),
      onLoaded: ({ id, names }) => {
        daemon.events.publish("image", "load", id, { name: id });
        if (names.length === 0) progress.send({ stream: `Loaded image ID: ${id}\n` });
        for (const name of names)
          progress.send({ stream: `Loaded image: ${familiarReference(parseReference(name))}\n` });
      },
    });
  } catch (error) {
    progress.fail(messageOf(error));
  }
  progress.end();
};
