import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { CheckpointOptionsSchema } from "../../../proto/gen/containerd/runc/v1/oci_pb.ts";
import { blobStream, type ContainerdClient, packAny, withLease } from "../../containerd/client/index.ts";
import { mediaTypes } from "../../oci/image-spec.ts";
import type { ContainerRecord } from "../records.ts";

/** Has containerd save a running task, which goes on, in a directory of this machine. */
export async function checkpointTask(client: ContainerdClient, id: string, directory: string): Promise<void> {
  const imagePath = join(directory, "checkpoint");
  await mkdir(imagePath, { mode: 0o700 });
  await client.tasks.checkpoint({
    containerId: id,
    options: packAny(CheckpointOptionsSchema, { exit: false, imagePath, workPath: directory }),
  });
}

/** The difference between a container's snapshot and its image's, which is content for as long as it is read. */
export async function* changedFiles(
  client: ContainerdClient,
  { id, snapshotter }: ContainerRecord,
): AsyncGenerator<Uint8Array> {
  const made = Promise.withResolvers<AsyncIterable<Uint8Array>>();
  const read = Promise.withResolvers<void>();
  const leased = withLease(client, async (own) => {
    const { info } = await own.snapshots.stat({ snapshotter, key: id });
    const upper = await own.snapshots.mounts({ snapshotter, key: id });
    const key = `${id}-checkpoint-${crypto.randomUUID()}`;
    const lower = await own.snapshots.view({ snapshotter, key, parent: info?.parent ?? "" });
    let digest: string;
    try {
      const { diff } = await own.diff.diff({
        left: lower.mounts,
        right: upper.mounts,
        mediaType: mediaTypes.ociLayer,
        ref: key,
      });
      digest = diff!.digest;
    } finally {
      await own.snapshots.remove({ snapshotter, key });
    }
    made.resolve(blobStream(own, digest as `sha256:${string}`));
    await read.promise;
  });
  leased.catch(made.reject);
  try {
    yield* await made.promise;
  } finally {
    read.resolve();
    await leased;
  }
}
