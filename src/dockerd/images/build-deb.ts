import { join } from "node:path";
import { invalid, messageOf } from "../../base/errors.ts";
import { importDebImage } from "../../containerd/client/index.ts";
import type { BuildDebRequest, Sent } from "../../engine/types.ts";
import { familiarReference, formatReference, parseReference, withDefaultTag } from "../../oci/reference.ts";
import type { Handler } from "../daemon.ts";
import { bodyOf } from "../http/router.ts";
import { layerLine, ProgressStream } from "./progress.ts";

/** `POST /corten/images/build-deb`: an image of Debian packages under a name of the user's. */
export const buildDeb: Handler = async (call) => {
  const { daemon, reply, signal } = call;
  const request = await bodyOf<Sent<BuildDebRequest>>(call, {
    fields: { Name: "string", Packages: { list: "string" }, Entrypoint: "strings", Cmd: "strings" },
  });
  if (!request.Name) throw invalid("Name is required");
  if ((request.Packages ?? []).length === 0) throw invalid("no packages given");
  const reference = withDefaultTag(parseReference(request.Name));
  const progress = new ProgressStream(reply);
  try {
    const { content } = await importDebImage(daemon.containerd, `deb:${request.Packages!.join(",")}`, {
      name: formatReference(reference),
      cacheDir: join(daemon.config.dataRoot, "deb"),
      snapshotter: daemon.config.snapshotter,
      signal,
      ...(request.Entrypoint ? { entrypoint: request.Entrypoint } : {}),
      ...(request.Cmd ? { cmd: request.Cmd } : {}),
      onProgress: (event) => {
        if (event.kind === "download")
          progress.send(
            layerLine({
              digest: "",
              id: event.package,
              status: "Downloading",
              current: event.offset,
              total: event.total,
            }),
          );
        else if (event.kind === "layer")
          progress.send({
            status: event.state === "cached" ? "Already exists" : "Pull complete",
            id: event.package,
          });
        else if (event.kind === "warning") progress.send({ status: `Warning: ${event.message}` });
      },
    });
    const id = content.manifest.config.digest;
    progress.send({ aux: { ID: id } });
    progress.send({ status: `Tagged ${familiarReference(reference)}` });
    daemon.events.publish("image", "tag", id, { name: familiarReference(reference) });
  } catch (error) {
    if (!progress.started) throw error;
    progress.fail(messageOf(error));
  }
  progress.end();
};
