import { invalid } from "../../base/errors.ts";
import { type ContainerdClient, chainIds, readBlob, unpack } from "../../containerd/client/index.ts";
import type { Digest } from "../../oci/digest.ts";
import { type Descriptor, type ImageConfig, isManifestType, type Manifest } from "../../oci/image-spec.ts";
import { digestOf, type ImageSource } from "../graph.ts";
import type { Executor, Layer } from "../types.ts";

/**
 * The layers of an image, unpacked. Its key is the chain id of all of them: images that differ in nothing but their
 * configuration are one root filesystem.
 */
export const imageExecutor: Executor<ImageSource> = {
  async contentKey(operation, { client }) {
    return keyOf((await read(client, operation)).diffIds);
  },

  async execute(operation, { client, snapshotter, progress, vertex, signal }) {
    const { target, manifest } = await read(client, operation);
    const begun = new Map<string, Date>();
    const image = await unpack(client, target, {
      snapshotter,
      platform: operation.platform,
      signal,
      onProgress: ({ id, digest, status, current, total }) => {
        if (status !== "Extracting" && status !== "Pull complete") return;
        const started = begun.get(id);
        // What was there already is not worth a line.
        if (status === "Pull complete" && !started) return;
        if (!started) begun.set(id, new Date());
        progress.status({
          id: `extracting ${digest}`,
          vertex: vertex.digest,
          name: `extracting ${digest}`,
          current: current ?? total ?? 0,
          total: total ?? 0,
          timestamp: new Date(),
          started: started ?? new Date(),
          ...(status === "Pull complete" ? { completed: new Date() } : {}),
        });
      },
    });
    const layers: Layer[] = image.chainIds.map((snapshot, index) => ({
      snapshot,
      diffId: image.diffIds[index]!,
      blob: manifest.layers[index]!,
    }));
    return { kind: "layers", key: keyOf(image.diffIds), layers, known: begun.size === 0 };
  },
};

const keyOf = (diffIds: readonly Digest[]): Digest => chainIds(diffIds).at(-1) ?? digestOf("scratch");

/** The operation knows its manifest by digest only. */
async function read(
  client: ContainerdClient,
  operation: ImageSource,
): Promise<{ target: Descriptor; manifest: Manifest; diffIds: Digest[] }> {
  const bytes = await readBlob(client, operation.manifest);
  const manifest = JSON.parse(Buffer.from(bytes).toString()) as Manifest;
  if (!manifest.config?.digest || !Array.isArray(manifest.layers))
    throw invalid(`manifest ${operation.manifest} of ${operation.reference} has no config or no layers`);
  const mediaType = manifest.mediaType ?? "application/vnd.oci.image.manifest.v1+json";
  if (!isManifestType(mediaType))
    throw invalid(`unexpected media type ${mediaType} for ${operation.manifest} of ${operation.reference}`);
  const config = JSON.parse(
    Buffer.from(await readBlob(client, manifest.config.digest)).toString(),
  ) as ImageConfig;
  return {
    target: { mediaType, digest: operation.manifest, size: bytes.length },
    manifest,
    diffIds: config.rootfs?.diff_ids ?? [],
  };
}
