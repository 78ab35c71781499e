import type { Database, Row } from "../../base/database.ts";
import { isCode, messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import type { ContainerdClient } from "../../containerd/client/index.ts";
import type { Digest } from "../../oci/digest.ts";
import type { Descriptor } from "../../oci/image-spec.ts";
import type { Layer } from "../types.ts";

/** Label of the leases that hold the cache's layers; its value names the cache, for a containerd may serve several. */
export const cacheLabel = "corten.build.cache";

/**
 * The layers of all records, each held with its blob by a lease of its own, because a layer outlives the record that made it
 * while another one is built on it. A lease is made before the row and goes after it.
 */
export class Layers {
  readonly #db: Database;
  readonly #client: ContainerdClient;
  readonly #snapshotter: string;
  readonly #cache: string;

  constructor(db: Database, client: ContainerdClient, snapshotter: string, cache: string) {
    this.#db = db;
    this.#client = client;
    this.#snapshotter = snapshotter;
    this.#cache = cache;
  }

  /** The chain that ends with `top`, bottom first; undefined when a layer of it is not known. */
  chain(top: string): Layer[] | undefined {
    const rows = this.#db.all(
      `WITH RECURSIVE chain (depth, snapshot, parent, diff_id, blob) AS (
         SELECT 0, snapshot, parent, diff_id, blob FROM layers WHERE snapshot = ?
         UNION ALL
         SELECT depth + 1, l.snapshot, l.parent, l.diff_id, l.blob FROM chain c JOIN layers l ON l.snapshot = c.parent
       ) SELECT * FROM chain ORDER BY depth DESC`,
      top,
    );
    if (top !== "" && rows[0]?.["parent"] !== "") return undefined;
    return rows.map(layerOf);
  }

  get(snapshot: string): Layer | undefined {
    const row = this.#db.get("SELECT * FROM layers WHERE snapshot = ?", snapshot);
    return row && layerOf(row);
  }

  /** Holds those of a chain that are not held yet, and learns what is new about the others. */
  async add(chain: readonly Layer[]): Promise<void> {
    let parent = "";
    for (const layer of chain) {
      const known = this.get(layer.snapshot);
      if (!known) {
        await this.hold(layer);
        const { size } = await this.#client.snapshots.usage({
          snapshotter: this.#snapshotter,
          key: layer.snapshot,
        });
        this.#db.run(
          "INSERT OR IGNORE INTO layers VALUES (?, ?, ?, ?, ?)",
          layer.snapshot,
          parent,
          Number(size),
          layer.diffId ?? null,
          layer.blob ? JSON.stringify(layer.blob) : null,
        );
      } else if ((layer.diffId && !known.diffId) || (layer.blob && !known.blob)) await this.learn(layer);
      parent = layer.snapshot;
    }
  }

  /** Keeps diff id and blob; false when the cache has no such layer. */
  async learn(layer: Layer): Promise<boolean> {
    const known = this.get(layer.snapshot);
    if (!known) return false;
    const blob = layer.blob ?? known.blob;
    if (layer.blob && layer.blob.digest !== known.blob?.digest) {
      const id = this.leaseOf(layer.snapshot);
      const of = (digest: Digest) => ({ id, resource: { id: digest, type: "content" } });
      await this.#client.leases.addResource(of(layer.blob.digest));
      if (known.blob) await this.#client.leases.deleteResource(of(known.blob.digest));
    }
    this.#db.run(
      "UPDATE layers SET diff_id = ?, blob = ? WHERE snapshot = ?",
      layer.diffId ?? known.diffId ?? null,
      blob ? JSON.stringify(blob) : null,
      layer.snapshot,
    );
    return true;
  }

  forgetBlob(snapshot: string): void {
    this.#db.run("UPDATE layers SET blob = NULL WHERE snapshot = ?", snapshot);
  }

  /** Forgets the layers that no record needs; their leases are the caller's to end. */
  dropUnneeded(): string[] {
    const rows = this.#db.all(
      `WITH RECURSIVE needed (snapshot) AS (
         SELECT top FROM records WHERE top <> ''
         UNION
         SELECT l.parent FROM needed n JOIN layers l ON l.snapshot = n.snapshot WHERE l.parent <> ''
       ) DELETE FROM layers WHERE snapshot NOT IN (SELECT snapshot FROM needed) RETURNING snapshot`,
    );
    return rows.map((row) => String(row["snapshot"]));
  }

  /** Makes the lease of a layer, or adds what it lacks. */
  async hold(layer: Layer): Promise<void> {
    const id = this.leaseOf(layer.snapshot);
    const { leases } = this.#client;
    try {
      await leases.create({ id, labels: { [cacheLabel]: this.#cache } });
    } catch (error) {
      if (!isCode(error, "already_exists")) throw error;
    }
    await leases.addResource({
      id,
      resource: { id: layer.snapshot, type: `snapshots/${this.#snapshotter}` },
    });
    if (layer.blob) await leases.addResource({ id, resource: { id: layer.blob.digest, type: "content" } });
  }

  /** Ends leases; the collector has run over what they held when this resolves. */
  async release(snapshots: readonly string[]): Promise<void> {
    for (const [index, snapshot] of snapshots.entries())
      await this.releaseLease(this.leaseOf(snapshot), index === snapshots.length - 1);
  }

  async releaseLease(id: string, sync: boolean): Promise<void> {
    try {
      await this.#client.leases.delete({ id, sync });
    } catch (error) {
      // The next opening finds it.
      if (!isCode(error, "not_found"))
        log.warn(`cannot end lease ${id} of the build cache`, { error: messageOf(error) });
    }
  }

  leaseOf(snapshot: string): string {
    return `build-cache-${this.#cache}-${snapshot}`;
  }

  async leases(): Promise<string[]> {
    const filters = [`labels.${JSON.stringify(cacheLabel)}==${this.#cache}`];
    const { leases } = await this.#client.leases.list({ filters });
    return leases.map((lease) => lease.id);
  }
}

export function layerOf(row: Row): Layer {
  const { snapshot, diff_id: diffId, blob } = row;
  return {
    snapshot: String(snapshot),
    ...(diffId === null ? {} : { diffId: String(diffId) }),
    ...(blob === null ? {} : { blob: JSON.parse(String(blob)) as Descriptor }),
  };
}
