import { invalid, isCode } from "../../base/errors.ts";
import { toDescriptor } from "../../containerd/client/descriptor.ts";
import {
  familiarReference,
  formatReference,
  parseReference,
  withDefaultTag,
  withTag,
} from "../../oci/reference.ts";
import type { Daemon, Handler } from "../daemon.ts";
import { danglingName, type ImageInfo } from "./store.ts";

/** `POST /images/{name}/tag?repo=&tag=`. */
export const tag: Handler = async ({ daemon, params, query, reply }) => {
  const image = await daemon.images.get(params["name"]!);
  const repo = query.string("repo");
  if (repo === "") throw invalid("invalid reference format");
  let reference = parseReference(repo);
  const wanted = query.string("tag");
  if (wanted !== "") reference = withTag(reference, wanted);
  if (reference.digest !== undefined) throw invalid("refusing to create a tag with a digest reference");
  reference = withDefaultTag(reference);
  await putTag(daemon, formatReference(reference), image);
  daemon.events.publish("image", "tag", image.id, { name: familiarReference(reference) });
  reply.empty(201);
};

/** Points a name at an image; the image that had it keeps existing without a name. */
export async function putTag(daemon: Daemon, name: string, image: ImageInfo): Promise<void> {
  const { images } = daemon.containerd;
  const wanted = { name, target: toDescriptor(image.target), labels: image.labels };
  const before = await daemon.images.find(name).catch(() => undefined);
  try {
    if (before) await images.update({ image: wanted });
    else await images.create({ image: wanted });
  } catch (error) {
    if (isCode(error, "already_exists")) await images.update({ image: wanted });
    else throw error;
  }
  if (before && before.id !== image.id) await keepDangling(daemon, before);
  await images.delete({ name: danglingName(image.id) }).catch(() => {});
}

/** An image that just lost its last name gets a record of its own, so that it can still be listed and pruned. */
export async function keepDangling(daemon: Daemon, image: ImageInfo): Promise<void> {
  if (await daemon.images.byId(image.id)) return;
  await daemon.containerd.images
    .create({
      image: { name: danglingName(image.id), target: toDescriptor(image.target), labels: image.labels },
    })
    .catch((error) => {
      if (!isCode(error, "already_exists")) throw error;
    });
}
