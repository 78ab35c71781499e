/** Names of images as Docker moves them: an image that loses its last name stays, without one. */
import { isCode } from "../../base/errors.ts";
import type { Digest } from "../../oci/digest.ts";
import type { Descriptor } from "../../oci/image-spec.ts";
import { fromDescriptor, toDescriptor } from "./descriptor.ts";
import { readManifest } from "./read-image.ts";
import type { ContainerdClient } from "./types.ts";

/** Records of images that have no name any more are kept under this prefix and the id. */
export const danglingPrefix = "corten-dangling@";

/**
 * Label of a record: what its image is called in the registry it was pushed to, where that is not the record's target
 * because plain layers were compressed on the way.
 */
export const pushedLabel = "corten.pushed";

export const isDangling = (record: string): boolean => record.startsWith(danglingPrefix);
/** `id` is the digest of the configuration, which is what Docker calls the image by. */
export const danglingName = (id: Digest): string => `${danglingPrefix}${id}`;

/** Points a name at an image; the image that had it keeps a record without a name when that was its last. */
export async function nameImage(
  client: ContainerdClient,
  name: string,
  image: { target: Descriptor; id: Digest; labels?: Record<string, string> },
): Promise<void> {
  const wanted = { name, target: toDescriptor(image.target), labels: image.labels ?? {} };
  const before = await find(client, name);
  // First, so that nothing of it can be collected in between.
  if (before && before.target.digest !== image.target.digest) await keepDangling(client, before, name);
  try {
    if (before) await client.images.update({ image: wanted });
    else await client.images.create({ image: wanted });
  } catch (error) {
    // Somebody made or removed it meanwhile.
    if (isCode(error, "already_exists")) await client.images.update({ image: wanted });
    else if (isCode(error, "not_found")) await client.images.create({ image: wanted });
    else throw error;
  }
  await client.images.delete({ name: danglingName(image.id) }).catch((error) => {
    if (!isCode(error, "not_found")) throw error;
  });
}

/** Gives an image that no record but `except` names one of its own. */
export async function keepDangling(
  client: ContainerdClient,
  image: { target: Descriptor; labels: Record<string, string> },
  except?: string,
): Promise<void> {
  const { images } = await client.images.list({ filters: [`target.digest==${image.target.digest}`] });
  if (images.some((record) => record.name !== except)) return;
  let id: Digest;
  try {
    id = (await readManifest(client, image.target)).manifest.config.digest;
  } catch (error) {
    // An image of other platforms, or one whose content is gone, has no id here: nothing to keep.
    if (isCode(error, "not_found") || isCode(error, "invalid_argument")) return;
    throw error;
  }
  await client.images
    .create({
      image: { name: danglingName(id), target: toDescriptor(image.target), labels: image.labels },
    })
    .catch((error) => {
      if (!isCode(error, "already_exists")) throw error;
    });
}

async function find(
  client: ContainerdClient,
  name: string,
): Promise<{ target: Descriptor; labels: Record<string, string> } | undefined> {
  try {
    const { image } = await client.images.get({ name });
    return image && { target: fromDescriptor(image.target), labels: { ...image.labels } };
  } catch (error) {
    if (isCode(error, "not_found")) return undefined;
    throw error;
  }
}
