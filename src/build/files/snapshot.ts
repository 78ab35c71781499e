/** Snapshots that a step makes, and views of those it reads. */
import { randomBytes } from "node:crypto";
import { messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import type { ContainerdClient } from "../../containerd/client/index.ts";
import type { Mount } from "../../sys/mount.ts";
import type { Layer } from "../types.ts";

export interface Access {
  readonly client: ContainerdClient;
  readonly snapshotter: string;
}

const newKey = (what: string): string => `build-${what}-${randomBytes(12).toString("hex")}`;

/**
 * A layer on top of `below` with what `fill` puts into it. Nothing of it is left on failure; should we be killed,
 * the build's lease takes it along.
 */
export async function makeLayer(
  { client, snapshotter }: Access,
  below: readonly Layer[],
  fill: (mounts: Mount[]) => Promise<void>,
): Promise<Layer> {
  const key = newKey("active");
  const { mounts } = await client.snapshots.prepare({ snapshotter, key, parent: topOf(below) });
  try {
    await fill(mounts);
    const name = newKey("layer");
    await client.snapshots.commit({ snapshotter, name, key });
    return { snapshot: name };
  } catch (error) {
    await remove({ client, snapshotter }, key);
    throw error;
  }
}

/** Runs `work` with what to mount to see `layers`, read-only. */
export async function withView<T>(
  { client, snapshotter }: Access,
  layers: readonly Layer[],
  work: (mounts: Mount[]) => Promise<T> | T,
): Promise<T> {
  const key = newKey("view");
  const { mounts } = await client.snapshots.view({ snapshotter, key, parent: topOf(layers) });
  try {
    return await work(mounts);
  } finally {
    await remove({ client, snapshotter }, key);
  }
}

export const topOf = (layers: readonly Layer[]): string => layers.at(-1)?.snapshot ?? "";

async function remove({ client, snapshotter }: Access, key: string): Promise<void> {
  await client.snapshots
    .remove({ snapshotter, key })
    .catch((error) =>
      log.warn("a build's snapshot stays until its lease ends", { key, error: messageOf(error) }),
    );
}
