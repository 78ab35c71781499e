import type { Database } from "../../base/database.ts";
import { log } from "../../base/log.ts";
import type { ContainerdClient } from "../../containerd/client/index.ts";
import { type Layers, layerOf } from "./layers.ts";

/**
 * Makes the database and containerd agree, after kill -9 or when somebody else removed things: records whose snapshots are gone
 * are dropped, leases without a layer end, layers without a lease are held again, blobs that are gone are forgotten.
 */
export async function repair(
  db: Database,
  layers: Layers,
  client: ContainerdClient,
  snapshotter: string,
): Promise<void> {
  const parents = await snapshotParents(client, snapshotter);
  const blobs = await contentDigests(client);
  db.transaction(() => {
    for (const row of db.all("SELECT * FROM layers")) {
      const { snapshot, blob } = layerOf(row);
      if (!parents.has(snapshot)) db.run("DELETE FROM layers WHERE snapshot = ?", snapshot);
      else if (blob && !blobs.has(blob.digest)) layers.forgetBlob(snapshot);
    }
    let dropped = 0;
    for (const { key, top } of db.all("SELECT key, top FROM records"))
      if (layers.chain(String(top)) === undefined)
        dropped += db.run("DELETE FROM records WHERE key = ?", key!);
    if (dropped > 0)
      log.warn("build cache: the snapshots of some records were removed", { records: dropped });
    layers.dropUnneeded();
  });
  const held = new Set(await layers.leases());
  for (const row of db.all("SELECT * FROM layers")) {
    const layer = layerOf(row);
    if (!held.delete(layers.leaseOf(layer.snapshot))) await layers.hold(layer);
  }
  for (const lease of held) await layers.releaseLease(lease, false);
}

/** Name of every snapshot → that of its parent. */
export async function snapshotParents(
  client: ContainerdClient,
  snapshotter: string,
): Promise<Map<string, string>> {
  const parents = new Map<string, string>();
  for await (const { info } of client.snapshots.list({ snapshotter }))
    for (const { name, parent } of info) parents.set(name, parent);
  return parents;
}

async function contentDigests(client: ContainerdClient): Promise<Set<string>> {
  const digests = new Set<string>();
  for await (const { info } of client.content.list({})) for (const { digest } of info) digests.add(digest);
  return digests;
}
