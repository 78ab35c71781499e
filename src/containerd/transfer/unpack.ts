import { isCode } from "../../base/errors.ts";
import { type Descriptor, isLayerType } from "../../oci/image-spec.ts";
import { readImage, readManifest } from "../client/read-image.ts";
import { unpackLayers } from "../client/unpack.ts";
import type { TransferJob, Unpacking } from "./job.ts";

/**
 * Makes the snapshots that a request wants of an image. `ready` is waited for before a layer is read. What is no image of
 * a platform (an attestation) has none.
 */
export async function unpackAll(
  { client, signal }: TransferJob,
  unpacks: readonly Unpacking[],
  target: Descriptor,
  ready?: (layer: Descriptor) => Promise<void>,
): Promise<void> {
  for (const { platform, snapshotter } of unpacks) {
    const { manifest } = await readManifest(client, target, platform);
    if (!manifest.layers.every(({ mediaType }) => isLayerType(mediaType))) continue;
    const image = await readImage(client, target, platform);
    await unpackLayers(client, image, { snapshotter, signal }, async (index) =>
      ready?.(image.manifest.layers[index]!),
    );
  }
}

/** As `unpackAll`, for one of several images: one that is not for the platform is left alone. */
export async function unpackIfFit(
  job: TransferJob,
  unpacks: readonly Unpacking[],
  target: Descriptor,
): Promise<void> {
  for (const unpack of unpacks) {
    try {
      await readManifest(job.client, target, unpack.platform);
    } catch (error) {
      if (isCode(error, "not_found") || isCode(error, "invalid_argument")) continue;
      throw error;
    }
    await unpackAll(job, [unpack], target);
  }
}
