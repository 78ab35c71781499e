import { randomBytes } from "node:crypto";
import { CortenError, isCode } from "../../base/errors.ts";
import { span } from "../../base/trace.ts";
import type { Digest } from "../../oci/digest.ts";
import type { Descriptor, Platform } from "../../oci/image-spec.ts";
import { toDescriptor } from "./descriptor.ts";
import { withLease } from "./lease.ts";
import { readImage } from "./read-image.ts";
import type { ContainerdClient, ImageContent, LayerProgress } from "./types.ts";

export interface UnpackOptions {
  /** Default "overlayfs". */
  snapshotter?: string;
  platform?: Platform;
  onProgress?: (progress: LayerProgress) => void;
  signal?: AbortSignal;
}

/** Makes the committed snapshots of an image's layers, those that are missing. Returns what the image is. */
export async function unpack(
  client: ContainerdClient,
  target: Descriptor,
  options: UnpackOptions = {},
): Promise<ImageContent> {
  return withLease(client, async (leased) => {
    const image = await readImage(leased, target, options.platform);
    await unpackLayers(leased, image, options);
    return image;
  });
}

/**
 * Unpacks layer after layer; `ready(i)` is waited for before layer i is read, so that later layers can still
 * be on their way. The config blob then refers to the top snapshot, which keeps the chain from the collector.
 */
export async function unpackLayers(
  client: ContainerdClient,
  image: ImageContent,
  options: UnpackOptions,
  ready: (index: number) => Promise<unknown> = async () => {},
): Promise<void> {
  const snapshotter = options.snapshotter ?? "overlayfs";
  for (const [index, layer] of image.manifest.layers.entries()) {
    await ready(index);
    options.signal?.throwIfAborted();
    const report = (status: LayerProgress["status"], current?: number) =>
      options.onProgress?.({
        digest: layer.digest,
        id: shortId(layer.digest),
        status,
        ...(current === undefined ? {} : { current, total: layer.size }),
      });
    const made = await span("containerd", `unpack ${shortId(layer.digest)}`, () =>
      unpackLayer(client, image, index, snapshotter, () => report("Extracting", 0)),
    );
    if (made) report("Extracting", layer.size);
    report("Pull complete");
  }
  const top = image.chainIds.at(-1);
  if (top !== undefined) {
    const key = `containerd.io/gc.ref.snapshot.${snapshotter}`;
    await client.content.update({
      info: { digest: image.manifest.config.digest, labels: { [key]: top } },
      updateMask: { paths: [`labels.${key}`] },
    });
  }
}

export const shortId = (digest: Digest): string => digest.slice(digest.indexOf(":") + 1).slice(0, 12);

/** False when the layer's snapshot was there already. */
async function unpackLayer(
  client: ContainerdClient,
  image: ImageContent,
  index: number,
  snapshotter: string,
  onStart: () => void,
): Promise<boolean> {
  const chainId = image.chainIds[index]!;
  const diffId = image.diffIds[index]!;
  const layer = image.manifest.layers[index]!;
  if (await holdSnapshot(client, snapshotter, chainId)) return false;
  onStart();
  const parent = index === 0 ? "" : image.chainIds[index - 1]!;
  const key = `extract-${Date.now() % 1e9}-${randomBytes(3).toString("base64url")} ${chainId}`;
  const labels = { "containerd.io/snapshot.ref": chainId };
  let mounts: Awaited<ReturnType<ContainerdClient["snapshots"]["prepare"]>>["mounts"];
  try {
    ({ mounts } = await client.snapshots.prepare({ snapshotter, key, parent, labels }));
  } catch (error) {
    // A snapshotter may find the layer by its label itself (remote snapshotters do).
    if (isCode(error, "already_exists") && (await holdSnapshot(client, snapshotter, chainId))) return false;
    throw error;
  }
  try {
    const { applied } = await client.diff.apply({ diff: toDescriptor(layer), mounts });
    if (applied?.digest !== diffId)
      throw new CortenError(
        "failed_precondition",
        `wrong diff id calculated on extraction ${applied?.digest}, expected ${diffId}`,
      );
    await client.snapshots.commit({ snapshotter, key, name: chainId, labels });
  } catch (error) {
    await client.snapshots.remove({ snapshotter, key }).catch(() => {});
    // Another unpack of the same layer was faster; ours of containerd lets our lease hold it with this very answer.
    if (!isCode(error, "already_exists") || !(await holdSnapshot(client, snapshotter, chainId))) throw error;
  }
  await client.content.update({
    info: { digest: layer.digest, labels: { "containerd.io/uncompressed": diffId } },
    updateMask: { paths: ["labels.containerd.io/uncompressed"] },
  });
  return true;
}

async function exists(client: ContainerdClient, snapshotter: string, key: string): Promise<boolean> {
  try {
    await client.snapshots.stat({ snapshotter, key });
    return true;
  } catch (error) {
    if (isCode(error, "not_found")) return false;
    throw error;
  }
}

/**
 * What we rely on and did not make ourselves must be held by our lease (if any), too. False when it is not there, which
 * counts only after it is held: a collection may have been under way.
 */
export async function holdSnapshot(
  client: ContainerdClient,
  snapshotter: string,
  key: string,
): Promise<boolean> {
  if (!(await exists(client, snapshotter, key))) return false;
  if (client.lease === undefined) return true;
  await client.leases.addResource({
    id: client.lease,
    resource: { id: key, type: `snapshots/${snapshotter}` },
  });
  return exists(client, snapshotter, key);
}
