import { sleep } from "../../base/async.ts";
import { isCode, messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import type { Digest } from "../../oci/digest.ts";
import { type ContentStore, collectGarbage, type Garbage, type GcMetadata } from "../../store/index.ts";
import { ownerLabel } from "../client/lease.ts";
import { isGone } from "../client/owner.ts";
import type { NamespacedContent } from "../content/store.ts";
import { labelsOf, type Metadata } from "../metadata/metadata.ts";
import type { NamespacedSnapshots } from "../snapshots/store.ts";
import type { SharedLock } from "./lock.ts";

/** Deletions in a burst are collected together. */
const delay = 200;

/**
 * Removes what neither a lease, an image, a container nor a label refers to. Mark and the rows' removal are
 * one synchronous transaction; the bytes follow. All of it holds the lock alone, so nothing that is being made
 * (a commit under way, a snapshot whose parent is looked up) can have its ground taken away.
 */
export class Collector {
  readonly #metadata: Metadata;
  readonly #content: ContentStore;
  readonly #isClaimed: (digest: Digest) => boolean;
  readonly #snapshotters: ReadonlyMap<string, NamespacedSnapshots>;
  readonly #lock: SharedLock;
  readonly #onImageGone: (namespace: string, name: string) => void;
  #planned: Promise<void> | undefined;
  #closed = false;

  constructor(
    metadata: Metadata,
    content: Pick<NamespacedContent, "store" | "isClaimed">,
    snapshotters: ReadonlyMap<string, NamespacedSnapshots>,
    lock: SharedLock,
    onImageGone: (namespace: string, name: string) => void,
  ) {
    this.#metadata = metadata;
    this.#content = content.store;
    this.#isClaimed = (digest) => content.isClaimed(digest);
    this.#snapshotters = snapshotters;
    this.#lock = lock;
    this.#onImageGone = onImageGone;
  }

  /** Collects soon. */
  schedule(): void {
    if (this.#planned || this.#closed) return;
    this.#planned = sleep(delay)
      .then(() => {
        this.#planned = undefined;
        if (!this.#closed) return this.collect();
      })
      .catch((error) => log.error("garbage collection failed", { error: messageOf(error) }));
  }

  /** Collects now. */
  async collect(): Promise<void> {
    await this.#lock.exclusive(async () => {
      const started = performance.now();
      const garbage = this.#mark();
      await this.#sweep(garbage);
      const { contents, snapshots, leases, ingests, images } = garbage;
      if (contents.length + snapshots.length + leases.length + ingests.length + images.length > 0)
        log.debug("garbage collected", {
          contents: contents.length,
          snapshots: snapshots.length,
          leases: leases.length,
          ingests: ingests.length,
          milliseconds: Math.round(performance.now() - started),
        });
    });
  }

  /** After a crash: bytes and snapshots that no row names, and rows whose snapshot is not there. */
  async repair(): Promise<void> {
    await this.#lock.exclusive(async () => {
      this.#dropDeadLeases();
      await this.#repairContent();
      for (const snapshots of this.#snapshotters.values()) await this.#repairSnapshots(snapshots);
    });
  }

  close(): void {
    this.#closed = true;
  }

  #mark(): Garbage {
    const { db } = this.#metadata;
    return db.transaction(() => {
      const garbage = collectGarbage(this.#read());
      for (const { namespace, id } of garbage.leases)
        db.run("DELETE FROM leases WHERE namespace = ? AND id = ?", namespace, id);
      for (const { namespace, name } of garbage.images)
        db.run("DELETE FROM images WHERE namespace = ? AND name = ?", namespace, name);
      for (const { namespace, digest } of garbage.contents)
        db.run("DELETE FROM contents WHERE namespace = ? AND digest = ?", namespace, digest);
      for (const { namespace, ref } of garbage.ingests)
        db.run("DELETE FROM ingests WHERE namespace = ? AND ref = ?", namespace, ref);
      return garbage;
    });
  }

  #read(): GcMetadata {
    const { db } = this.#metadata;
    const resources = new Map<string, Array<{ type: string; id: string }>>();
    for (const row of db.all("SELECT * FROM lease_resources")) {
      const key = `${row["namespace"]}\0${row["lease"]}`;
      const list = resources.get(key) ?? [];
      list.push({ type: String(row["type"]), id: String(row["id"]) });
      resources.set(key, list);
    }
    const namespace = (row: Record<string, unknown>) => String(row["namespace"]);
    return {
      now: new Date(),
      leases: db.all("SELECT * FROM leases").map((row) => ({
        namespace: namespace(row),
        id: String(row["id"]),
        labels: labelsOf(row),
        resources: resources.get(`${row["namespace"]}\0${row["id"]}`) ?? [],
      })),
      images: db.all("SELECT namespace, name, digest, labels FROM images").map((row) => ({
        namespace: namespace(row),
        name: String(row["name"]),
        target: String(row["digest"]),
        labels: labelsOf(row),
      })),
      containers: db
        .all("SELECT namespace, id, snapshotter, snapshot_key, labels FROM containers")
        .map((row) => ({
          namespace: namespace(row),
          id: String(row["id"]),
          snapshotter: String(row["snapshotter"]),
          snapshotKey: String(row["snapshot_key"]),
          labels: labelsOf(row),
        })),
      contents: db.all("SELECT namespace, digest, labels FROM contents").map((row) => ({
        namespace: namespace(row),
        digest: String(row["digest"]),
        labels: labelsOf(row),
      })),
      snapshots: db.all("SELECT namespace, snapshotter, name, parent, labels FROM snapshots").map((row) => ({
        namespace: namespace(row),
        snapshotter: String(row["snapshotter"]),
        name: String(row["name"]),
        parent: String(row["parent"]),
        labels: labelsOf(row),
      })),
      ingests: db.all("SELECT * FROM ingests").map((row) => ({
        namespace: namespace(row),
        ref: String(row["ref"]),
        ...(row["expire_at"] === null ? {} : { expireAt: new Date(Number(row["expire_at"])) }),
      })),
    };
  }

  async #sweep(garbage: Garbage): Promise<void> {
    for (const { namespace, name } of garbage.images) this.#onImageGone(namespace, name);
    for (const { namespace, snapshotter, name } of garbage.snapshots)
      await this.#sweepSnapshot(namespace, snapshotter, name);
    const digests = new Set(garbage.contents.map((content) => content.digest));
    for (const digest of digests)
      if (!this.#isNamed(digest) && !this.#isClaimed(digest))
        await ignoreMissing(this.#content.delete(digest), `delete content ${digest}`);
    for (const { namespace, ref } of garbage.ingests)
      await ignoreMissing(this.#content.abort(`${namespace}/${ref}`), `abort ingest ${ref}`);
  }

  async #sweepSnapshot(namespace: string, snapshotter: string, name: string): Promise<void> {
    const { db } = this.#metadata;
    const key = [namespace, snapshotter, name] as const;
    const row = db.get(
      "SELECT backend FROM snapshots WHERE namespace = ? AND snapshotter = ? AND name = ?",
      ...key,
    );
    const snapshots = this.#snapshotters.get(snapshotter);
    if (!row || !snapshots) return;
    const backend = String(row["backend"]);
    const forget = () =>
      db.run("DELETE FROM snapshots WHERE namespace = ? AND snapshotter = ? AND name = ?", ...key);
    const names = db.all(
      "SELECT 1 FROM snapshots WHERE snapshotter = ? AND backend = ? LIMIT 2",
      snapshotter,
      backend,
    );
    if (names.length > 1) {
      forget();
      return;
    }
    // A snapshot that cannot be removed (mounted somewhere) keeps its row, and is tried again.
    const gone = await ignoreMissing(
      snapshots.backend.remove(backend),
      `remove snapshot ${name} of ${namespace}`,
    );
    if (gone) forget();
  }

  #isNamed(digest: Digest): boolean {
    return this.#metadata.db.get("SELECT 1 FROM contents WHERE digest = ? LIMIT 1", digest) !== undefined;
  }

  /** Leases of clients that were killed (with us, mostly: they were in this process). */
  #dropDeadLeases(): void {
    const { db } = this.#metadata;
    for (const row of db.all("SELECT * FROM leases")) {
      const owner = labelsOf(row)[ownerLabel];
      if (owner !== undefined && isGone(owner))
        db.run("DELETE FROM leases WHERE namespace = ? AND id = ?", row["namespace"]!, row["id"]!);
    }
  }

  async #repairContent(): Promise<void> {
    const orphans: Digest[] = [];
    await this.#content.walk((info) => {
      if (!this.#isNamed(info.digest)) orphans.push(info.digest);
    });
    for (const digest of orphans)
      await ignoreMissing(this.#content.delete(digest), `delete content ${digest}`);
    const known = new Set(
      this.#metadata.db
        .all("SELECT namespace, ref FROM ingests")
        .map((row) => `${row["namespace"]}/${row["ref"]}`),
    );
    for (const { ref } of await this.#content.statuses())
      if (!known.has(ref)) await ignoreMissing(this.#content.abort(ref), `abort ingest ${ref}`);
  }

  async #repairSnapshots(snapshots: NamespacedSnapshots): Promise<void> {
    const { db } = this.#metadata;
    const rows = new Set(
      db
        .all("SELECT backend FROM snapshots WHERE snapshotter = ?", snapshots.name)
        .map((row) => String(row["backend"])),
    );
    const there = new Map<string, string>();
    await snapshots.backend.walk((info) => void there.set(info.name, info.parent));
    for (const backend of rows)
      if (!there.has(backend))
        db.run("DELETE FROM snapshots WHERE snapshotter = ? AND backend = ?", snapshots.name, backend);
    // Children before parents: whoever is nobody's parent goes first.
    let orphans = [...there.keys()].filter((key) => !rows.has(key));
    while (orphans.length > 0) {
      const parents = new Set([...there.values()]);
      const leaves = orphans.filter((key) => !parents.has(key));
      if (leaves.length === 0) return;
      for (const key of leaves) {
        await ignoreMissing(snapshots.backend.remove(key), `remove snapshot ${key}`);
        there.delete(key);
      }
      orphans = orphans.filter((key) => there.has(key));
    }
    await snapshots.backend.cleanup();
  }
}

/** True when the thing is gone; another failure is logged, for collecting is best effort. */
async function ignoreMissing(work: Promise<unknown>, what: string): Promise<boolean> {
  try {
    await work;
    return true;
  } catch (error) {
    if (isCode(error, "not_found")) return true;
    log.warn(`cannot ${what}`, { error: messageOf(error) });
    return false;
  }
}
