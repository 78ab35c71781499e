import { isCode, notFound } from "../../base/errors.ts";
import type { ContainerdContext } from "../containerd/context.ts";
import { nowNanoseconds } from "../records.ts";
import type { ImageCalls } from "../service/backend.ts";
import { imageMessage } from "./message.ts";
import { pullImage } from "./pull.ts";
import { findImage, listImages } from "./store.ts";
import { snapshotsUsage, snapshotterRoot } from "./usage.ts";

/** ImageService on containerd's images. */
export function imageCalls(context: ContainerdContext): ImageCalls {
  const { client, config } = context;
  const snapshotterOf = (handler: string | undefined) =>
    config.runtimes[handler ?? ""]?.snapshotter ?? config.snapshotter;
  return {
    async listImages({ filter }) {
      const wanted = filter?.image?.image ?? "";
      const images = await listImages(client);
      if (wanted === "") return { images: images.map(imageMessage) };
      const found = await findImage(client, wanted);
      return { images: found ? [imageMessage(found)] : [] };
    },
    async imageStatus({ image, verbose }) {
      const found = await findImage(client, image!.image);
      if (!found) return {};
      return {
        image: imageMessage(found),
        ...(verbose
          ? { info: { info: JSON.stringify({ chainID: found.chainId ?? "", imageSpec: found.config }) } }
          : {}),
      };
    },
    async pullImage({ image, auth }, signal) {
      const handler = image!.runtimeHandler;
      if (handler !== "" && !config.runtimes[handler])
        throw notFound(`no runtime for ${JSON.stringify(handler)} is configured`);
      return { imageRef: await pullImage(context, image!.image, auth, snapshotterOf(handler), signal) };
    },
    async removeImage({ image }) {
      const found = await findImage(client, image!.image);
      if (!found) return {};
      const names = [...found.tags, ...found.digests, found.id];
      for (const [index, name] of names.entries())
        await client.images.delete({ name, sync: index === names.length - 1 }).catch((error) => {
          if (!isCode(error, "not_found")) throw error;
        });
      return {};
    },
    async imageFsInfo() {
      const snapshotters = new Set([
        config.snapshotter,
        ...Object.values(config.runtimes).flatMap(({ snapshotter }) => snapshotter ?? []),
      ]);
      const filesystems = await Promise.all(
        [...snapshotters].map(async (snapshotter) => {
          const { size, inodes } = await snapshotsUsage(context, snapshotter);
          return {
            timestamp: BigInt(nowNanoseconds()),
            fsId: { mountpoint: await snapshotterRoot(context, snapshotter) },
            usedBytes: { value: size },
            inodesUsed: { value: inodes },
          };
        }),
      );
      return { imageFilesystems: filesystems, containerFilesystems: filesystems };
    },
  };
}
