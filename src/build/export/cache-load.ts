/** Brings the layers of an imported result here: blobs that are missing, then snapshots named as images' are. */
import { CortenError, isCode } from "../../base/errors.ts";
import {
  type ContainerdClient,
  chainIds,
  holdIfPresent,
  holdSnapshot,
  toDescriptor,
  writeBlob,
} from "../../containerd/client/index.ts";
import type { Descriptor } from "../../oci/image-spec.ts";
import type { Layer } from "../types.ts";
import type { CacheLayer } from "./cache-format.ts";
import { createdLabel } from "./layers.ts";

export interface LayerSource {
  /** Bytes of a blob from an offset on. */
  open(descriptor: Descriptor, offset: number): Promise<AsyncIterable<Uint8Array>>;
}

/** The layers, bottom first, held by the client's lease. What is here already costs nothing. */
export async function loadChain(
  client: ContainerdClient,
  snapshotter: string,
  chain: readonly CacheLayer[],
  source: LayerSource,
  createdAt: string,
  signal: AbortSignal,
): Promise<Layer[]> {
  const names = chainIds(chain.map((layer) => layer.annotations.diffID));
  const blobs = chain.map(
    ({ blob, annotations }): Descriptor => ({
      mediaType: annotations.mediaType,
      digest: blob,
      size: annotations.size,
    }),
  );
  const layers = names.map(
    (snapshot, at): Layer => ({ snapshot, diffId: chain[at]!.annotations.diffID, blob: blobs[at]! }),
  );
  // From the top down: the highest snapshot that is here has all below it.
  let have = names.length;
  while (have > 0 && !(await holdSnapshot(client, snapshotter, names[have - 1]!))) have--;
  const fetches = blobs.slice(have).map((blob) => fetch(client, blob, source, signal));
  try {
    for (let at = have; at < names.length; at++) {
      await fetches[at - have];
      signal.throwIfAborted();
      const created = chain[at]!.annotations.createdAt || createdAt;
      await unpack(client, snapshotter, layers[at]!, names[at - 1] ?? "", created);
    }
  } finally {
    await Promise.allSettled(fetches);
  }
  // Layers that were here need not have their blobs; whoever exports them writes them anew.
  return Promise.all(
    layers.map(async (layer, at) =>
      at >= have || (await holdIfPresent(client, layer.blob!.digest)) ? layer : { snapshot: layer.snapshot },
    ),
  );
}

async function fetch(
  client: ContainerdClient,
  blob: Descriptor,
  source: LayerSource,
  signal: AbortSignal,
): Promise<void> {
  if (await holdIfPresent(client, blob.digest)) return;
  const { digest, size } = blob;
  const fresh = await writeBlob(client, { ref: `blob-${digest}`, digest, size, signal }, (offset) =>
    source.open(blob, offset),
  );
  if (!fresh) await holdIfPresent(client, digest);
}

async function unpack(
  client: ContainerdClient,
  snapshotter: string,
  { snapshot: name, diffId, blob }: Layer,
  parent: string,
  created: string,
): Promise<void> {
  const key = `extract-${crypto.randomUUID()} ${name}`;
  const labels = {
    "containerd.io/snapshot.ref": name,
    ...(Number.isNaN(Date.parse(created)) ? {} : { [createdLabel]: created }),
  };
  const { mounts } = await client.snapshots.prepare({ snapshotter, key, parent, labels });
  try {
    const { applied } = await client.diff.apply({ diff: toDescriptor(blob!), mounts });
    if (applied?.digest !== diffId)
      throw new CortenError(
        "data_loss",
        `cached layer ${blob!.digest} unpacks to ${applied?.digest}, not to ${diffId} as its cache says`,
      );
    await client.snapshots.commit({ snapshotter, key, name, labels });
  } catch (error) {
    await client.snapshots.remove({ snapshotter, key }).catch(() => {});
    if (!isCode(error, "already_exists") || !(await holdSnapshot(client, snapshotter, name))) throw error;
  }
}
