import type { Image } from "../../../proto/gen/containerd/services/images/v1/images_pb.ts";
import type { ImageStore } from "../../../proto/gen/containerd/types/transfer/imagestore_pb.ts";
import { notFound } from "../../base/errors.ts";
import type { Descriptor } from "../../oci/image-spec.ts";
import { putImage } from "../client/pull.ts";
import type { ContainerdClient } from "../client/types.ts";
import { plainDescriptor } from "./job.ts";
import { storedNames } from "./names.ts";

/** Points the destination's names at an image. */
export async function storeImages(
  client: ContainerdClient,
  store: ImageStore,
  target: Descriptor,
  names: readonly string[] = storedNames(store, target),
): Promise<Image[]> {
  if (names.length === 0) throw notFound("no image name found: not found");
  const images: Image[] = [];
  for (const name of names)
    images.push((await putImage(client, name, plainDescriptor(target), store.labels)).image);
  return images;
}
