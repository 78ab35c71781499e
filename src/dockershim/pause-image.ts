/** The image pods are held by. Our own has one file of 214 bytes and is loaded through the Engine API. */
import { createHash } from "node:crypto";
import { tarOf } from "../archive/tar/index.ts";
import { CortenError, isCode, messageOf } from "../base/errors.ts";
import { log } from "../base/log.ts";
import { holderBinary } from "../cri/sandbox/holder.ts";
import type { Context } from "./context.ts";
import { pullImage } from "./images/pull.ts";

/** Changed with its content: an older one stays as it is. */
const ownImage = "corten.local/pause:1";

export const pauseImageOf = ({ options }: Context): string => options.pauseImage || ownImage;

const architectures: Record<string, string> = { x64: "amd64", arm64: "arm64" };

/** What `docker load` takes: the same bytes, and so the same image id, each time. */
export function pauseImageArchive(architecture: string = process.arch): Buffer {
  const layer = tarOf(...["dev/", "etc/", "proc/", "sys/"].map((path) => ({ path })), {
    path: "pause",
    mode: 0o755,
    data: holderBinary(architecture),
  });
  const sha256 = (bytes: Uint8Array | string) => createHash("sha256").update(bytes).digest("hex");
  const config = JSON.stringify({
    architecture: architectures[architecture] ?? architecture,
    os: "linux",
    created: "2020-01-01T00:00:00Z",
    // As PID 1 it does not hear SIGTERM: who stops it (cri-dockerd, docker) is not to wait.
    config: { Entrypoint: ["/pause"], WorkingDir: "/", Env: ["PATH=/"], StopSignal: "SIGKILL" },
    rootfs: { type: "layers", diff_ids: [`sha256:${sha256(layer)}`] },
    history: [{ created: "2020-01-01T00:00:00Z", created_by: "corten dockershim" }],
  });
  const configName = `${sha256(config)}.json`;
  const manifest = JSON.stringify([{ Config: configName, RepoTags: [ownImage], Layers: ["layer.tar"] }]);
  return tarOf(
    { path: configName, data: config },
    { path: "layer.tar", data: layer },
    { path: "manifest.json", data: manifest },
  );
}

/** Sees to it that the image is there: pulls one that was configured, loads our own. */
export async function ensurePauseImage(context: Context): Promise<string> {
  const image = pauseImageOf(context);
  await context.locks.run("pause image", async () => {
    try {
      await context.client.images.inspect(image);
      return;
    } catch (error) {
      if (!isCode(error, "not_found")) throw error;
    }
    log.info("getting the image that holds pods", { image });
    try {
      if (context.options.pauseImage !== "") await pullImage(context, image, undefined, context.closing);
      else await loadOwn(context);
    } catch (error) {
      throw new CortenError(
        "unknown",
        `failed to get the image ${JSON.stringify(image)}, which pods are held by: ${messageOf(error)}`,
        { cause: error },
      );
    }
  });
  return image;
}

async function loadOwn({ client }: Context): Promise<void> {
  async function* archive() {
    yield pauseImageArchive();
  }
  for await (const { error } of await client.images.load(archive(), true))
    if (error !== undefined) throw new CortenError("unknown", error);
}
