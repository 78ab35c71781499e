import { statfsSync } from "node:fs";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ImageSchema } from "../../../proto/gen/runtime/v1/image_pb.ts";
import { isCode, notFound } from "../../base/errors.ts";
import type { ImageCalls } from "../../cri/service/backend.ts";
import type { HistoryEntry, ImageInspect, ImageSummary } from "../../engine/types.ts";
import { familiarReference, parseImageName } from "../../oci/reference.ts";
import type { Context } from "../context.ts";
import { pauseImageOf } from "../pause-image.ts";
import { writableLayers } from "../stats.ts";
import { daemonInfo } from "../status.ts";
import { now } from "../times.ts";
import { pullImage } from "./pull.ts";

/** ImageService on the daemon's images. */
export function imageCalls(context: Context): ImageCalls {
  const { client } = context;
  return {
    async listImages({ filter }) {
      const wanted = filter?.image?.image ?? "";
      const images = await client.images.list();
      if (wanted === "") return { images: images.map((image) => imageMessage(context, image)) };
      const found = await findImage(context, wanted);
      return {
        images: images.filter(({ Id }) => Id === found?.Id).map((image) => imageMessage(context, image)),
      };
    },
    async imageStatus({ image, verbose }) {
      const found = await findImage(context, image!.image);
      if (!found) return {};
      return {
        image: { ...imageMessage(context, found), ...userOf(found) },
        ...(verbose ? { info: { info: JSON.stringify(await details(context, found)) } } : {}),
      };
    },
    async pullImage({ image, auth }, signal) {
      const { runtimeHandler } = image!;
      if (runtimeHandler !== "" && !(await daemonInfo(context)).Runtimes?.[runtimeHandler])
        throw notFound(`no runtime for ${JSON.stringify(runtimeHandler)} is configured`);
      return { imageRef: await pullImage(context, image!.image, auth, signal) };
    },
    async removeImage({ image }) {
      const found = await findImage(context, image!.image);
      if (!found) return {};
      // By each name: with several of them the daemon refuses to remove an image by its id.
      for (const name of [...named(found.RepoTags), ...named(found.RepoDigests), found.Id])
        await client.images.remove(name).catch((error) => {
          if (!isCode(error, "not_found")) throw error;
        });
      return {};
    },
    async imageFsInfo() {
      const [{ DockerRootDir: mountpoint }, images] = await Promise.all([
        daemonInfo(context),
        client.images.list({ all: true, sharedSize: true }),
      ]);
      let inodes = 0;
      try {
        const { files, ffree } = statfsSync(mountpoint);
        inodes = files - ffree;
      } catch {
        // The daemon's files are not to be seen from here.
      }
      const timestamp = now();
      const usage = (bytes: number) => ({
        timestamp,
        fsId: { mountpoint },
        usedBytes: { value: BigInt(bytes) },
        inodesUsed: { value: BigInt(inodes) },
      });
      return {
        imageFilesystems: [usage(imagesSize(images))],
        containerFilesystems: [usage(writableLayers(context))],
      };
    },
  };
}

/** What images share is counted once; daemons before API 1.42 do not tell (-1). */
export function imagesSize(images: readonly ImageSummary[]): number {
  const shared = new Set<number>();
  let total = 0;
  for (const { Size, SharedSize } of images) {
    total += SharedSize > 0 ? Size - SharedSize : Size;
    if (SharedSize > 0) shared.add(SharedSize);
  }
  return [...shared].reduce((sum, size) => sum + size, total);
}

/** By a name, an id or the beginning of one. */
export async function findImage({ client }: Context, text: string): Promise<ImageInspect | undefined> {
  let name = text;
  if (!/^(?:sha256:)?[0-9a-f]{1,64}$/.test(text)) {
    try {
      name = familiarReference(parseImageName(text));
    } catch {
      return undefined;
    }
  }
  try {
    return await client.images.inspect(name);
  } catch (error) {
    if (isCode(error, "not_found") || isCode(error, "invalid_argument")) return undefined;
    throw error;
  }
}

export async function getImage(context: Context, text: string): Promise<ImageInspect> {
  const found = await findImage(context, text);
  if (!found) throw notFound(`No such image: ${text}`);
  return found;
}

/** Old daemons list what has no name under one. */
const named = (names: readonly string[] | null): string[] =>
  (names ?? []).filter((name) => !name.includes("<none>"));

function imageMessage(
  context: Context,
  image: ImageSummary | ImageInspect,
): MessageInitShape<typeof ImageSchema> {
  const pause = pauseImageOf(context);
  const tags = named(image.RepoTags);
  return {
    id: image.Id,
    repoTags: tags,
    repoDigests: named(image.RepoDigests),
    size: BigInt(image.Size),
    spec: { image: image.Id, annotations: {} },
    pinned: tags.includes(pause) || tags.includes(familiar(pause)),
  };
}

function familiar(name: string): string {
  try {
    return familiarReference(parseImageName(name));
  } catch {
    return name;
  }
}

function userOf({ Config }: ImageInspect) {
  const user = (Config?.User ?? "").split(":")[0]!;
  return /^\d+$/.test(user) ? { uid: { value: BigInt(user) } } : { username: user };
}

/** The image as the OCI specification writes it, for `crictl inspecti`. */
async function details({ client }: Context, image: ImageInspect): Promise<object> {
  const history = await client.images.history(image.Id);
  const { User, ExposedPorts, Env, Entrypoint, Cmd, Volumes, WorkingDir, Labels, StopSignal } =
    image.Config ?? {};
  return {
    labels: Labels ?? {},
    imageSpec: {
      created: image.Created,
      author: image.Author || undefined,
      architecture: image.Architecture,
      os: image.Os,
      config: {
        User: User || undefined,
        ExposedPorts: ExposedPorts ?? undefined,
        Env: Env ?? undefined,
        Entrypoint: Entrypoint ?? undefined,
        Cmd: Cmd ?? undefined,
        Volumes: Volumes ?? undefined,
        WorkingDir: WorkingDir || undefined,
        Labels: Labels ?? undefined,
        StopSignal: StopSignal || undefined,
      },
      rootfs: { type: image.RootFS.Type, diff_ids: image.RootFS.Layers ?? [] },
      history: history.toReversed().map(historyEntry),
    },
  };
}

const historyEntry = ({ Created, CreatedBy, Comment, Size }: HistoryEntry) => ({
  created: new Date(Created * 1000).toISOString(),
  created_by: CreatedBy,
  comment: Comment || undefined,
  empty_layer: Size === 0 || undefined,
});
