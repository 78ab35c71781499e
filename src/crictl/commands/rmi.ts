import type { Image } from "../../../proto/gen/runtime/v1/image_pb.ts";
import { messageOf } from "../../base/errors.ts";
import { goQuote } from "../../cli/format/quote.ts";
import type { Call, VerbBody } from "../command.ts";
import { all, doing, wrap } from "../errors.ts";
import { bool } from "../flags.ts";
import { log } from "../log.ts";
import type { ImageConnection } from "../services.ts";

export const command: VerbBody = {
  argsUsage: "IMAGE-ID [IMAGE-ID...]",
  description: `Remove one or more images by ID or reference.

The CRI API removes whole images: one that is named by a tag goes with all of its tags. To take away a single
tag, use a program of the runtime itself (ctr, nerdctl, podman, docker).`,
  shortOptions: true,
  flags: [bool("all,a", "Remove all images"), bool("prune,q", "Remove all unused images")],
  async run(call) {
    const connection = await call.images();
    const [everything, prune] = [call.flags.is("all"), call.flags.is("prune")];
    const ids = new Set(call.args);
    if (everything || prune) {
      const { images } = await connection.call((client, options) => client.listImages({}, options));
      for (const image of images) if (!(prune && image.pinned)) ids.add(image.id);
    }
    if (prune) await keepUsed(call, connection, ids);
    if (ids.size === 0) {
      if (!everything && !prune) return call.help();
      return log("info", "No images to remove");
    }
    await all(
      [...ids].map((id) => async () => {
        const { image } = await doing(`image status request for ${goQuote(id)} failed`, () =>
          connection.imageStatus(id, false),
        );
        if (!image) throw new Error(`no such image ${id}`);
        warnOfTags(id, image);
        try {
          await connection.call((client, options) => client.removeImage({ image: { image: id } }, options));
        } catch (error) {
          // Others use and remove images as well.
          if (prune) return;
          throw wrap(`error of removing image ${goQuote(id)}`, error);
        }
        const names = image.repoTags.length > 0 ? image.repoTags : image.repoDigests;
        call.print(names.map((name) => `Deleted: ${name}\n`).join(""));
      }),
    );
  },
};

async function keepUsed(call: Call, connection: ImageConnection, ids: Set<string>): Promise<void> {
  const runtime = await call.runtime();
  const { containers } = await runtime.call((client, options) => client.listContainers({}, options));
  for (const name of new Set(containers.map(({ image }) => image?.image ?? ""))) {
    try {
      ids.delete((await connection.imageStatus(name, false)).image?.id ?? "");
    } catch (error) {
      log("error", `image status request for ${goQuote(name)} failed: ${messageOf(error)}`);
    }
  }
}

function warnOfTags(id: string, image: Image): void {
  if (image.repoTags.length < 2 || id.startsWith("sha256:") || !/[:/]/.test(id)) return;
  log(
    "warning",
    `Image ${goQuote(id)} has multiple tags. Removing this image will delete all of the following tags:`,
  );
  for (const tag of image.repoTags) log("warning", `  ${tag}`);
}
