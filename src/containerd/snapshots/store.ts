import { timestampFromDate, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Kind } from "../../../proto/gen/containerd/services/snapshots/v1/snapshots_pb.ts";
import { deferred } from "../../base/async.ts";
import type { Row } from "../../base/database.ts";
import { alreadyExists, conflict, invalid, isCode, notFound } from "../../base/errors.ts";
import type { Mount, SnapshotInfo, Snapshotter, Usage } from "../../store/index.ts";
import { checkLabels, mergeLabels } from "../context.ts";
import { fields, parseFilters } from "../filters.ts";
import type { SharedLock } from "../gc/lock.ts";
import { type Labels, labelsOf, type Metadata } from "../metadata/metadata.ts";

export const kinds: Record<SnapshotInfo["kind"], Kind> = {
  active: Kind.ACTIVE,
  view: Kind.VIEW,
  committed: Kind.COMMITTED,
};

/** Asks `prepare` for another name of a committed snapshot instead of a new snapshot. */
export const linkLabel = "corten.snapshot.from";
/** The name a client will commit under; snapshotters that find the snapshot themselves make it under this name. */
const targetLabel = "containerd.io/snapshot.ref";

/**
 * One snapshotter as the namespaces see it. Names are per namespace: the snapshotter's own keys are
 * `<namespace>/<number>/<name>`, as containerd makes them. A row is there before its snapshot and goes before
 * it, so that the collector always sees at least what exists. A committed snapshot can have several names, one row each;
 * it goes with the last of them.
 */
export class NamespacedSnapshots {
  readonly #metadata: Metadata;
  readonly #lock: SharedLock;
  /** Commits under way, by namespace and the name they make: its row is there, its snapshot not yet. */
  readonly #commits = new Map<string, Promise<void>>();
  readonly backend: Snapshotter;

  constructor(metadata: Metadata, backend: Snapshotter, lock: SharedLock) {
    this.#metadata = metadata;
    this.backend = backend;
    this.#lock = lock;
  }

  get name(): string {
    return this.backend.name;
  }

  /** `prepare` and `view`. */
  make(
    how: "prepare" | "view",
    namespace: string,
    lease: string | undefined,
    key: string,
    parent: string,
    labels: Labels,
  ): Promise<Mount[]> {
    if (key === "") throw invalid("snapshot key must not be empty: invalid argument");
    checkLabels(labels);
    const from = how === "prepare" ? labels[linkLabel] : undefined;
    if (from !== undefined) return this.#link(namespace, lease, from, key, parent, labels);
    return this.#settled(namespace, parent, async () => {
      const { backend, parentKey } = this.#metadata.db.transaction(() => {
        const parentKey = parent === "" ? "" : this.#parent(namespace, parent);
        const backend = this.#insert(namespace, key, parent, labels);
        this.#metadata.hold(namespace, lease, this.#resource, key);
        return { backend, parentKey };
      });
      try {
        return await this.backend[how](backend, parentKey, { labels });
      } catch (error) {
        this.#forget(namespace, key);
        throw error;
      }
    });
  }

  /**
   * Makes another name for the committed snapshot `from`, on a name of the same parent. It always ends as a prepare
   * does whose snapshot a remote snapshotter had already: with `already_exists`, whereupon the client looks it up. The
   * new name is that of the `containerd.io/snapshot.ref` label, or the key.
   */
  #link(
    namespace: string,
    lease: string | undefined,
    from: string,
    key: string,
    parent: string,
    labels: Labels,
  ): Promise<never> {
    const name = labels[targetLabel] ?? key;
    return this.#settled(namespace, from, async () => {
      const { backend } = this.#row(namespace, from);
      const info = await this.backend.stat(String(backend));
      if (info.kind !== "committed")
        throw invalid(`snapshot ${from} is not committed, it can have no other name: invalid argument`);
      this.#metadata.db.transaction(() => {
        // It may have been removed, and made anew, since we looked.
        if (this.#row(namespace, from)["backend"] !== backend)
          throw notFound(`snapshot ${from} does not exist: not found`);
        const parentKey = parent === "" ? "" : this.#parent(namespace, parent);
        if (parentKey !== info.parent)
          throw conflict(`snapshot ${from} has another parent than ${parent || "none"}: failed precondition`);
        const { [linkLabel]: _, ...kept } = labels;
        if (!this.#find(namespace, name)) this.#insert(namespace, name, parent, kept, String(backend));
        this.#metadata.hold(namespace, lease, this.#resource, name);
      });
      throw alreadyExists(`target snapshot "${name}": already exists`);
    });
  }

  async mounts(namespace: string, key: string): Promise<Mount[]> {
    return this.backend.mounts(String(this.#row(namespace, key)["backend"]));
  }

  commit(
    namespace: string,
    lease: string | undefined,
    name: string,
    key: string,
    labels: Labels,
  ): Promise<void> {
    if (name === "") throw invalid("snapshot name must not be empty: invalid argument");
    checkLabels(labels);
    return this.#settled(namespace, name, async () => {
      if (this.#find(namespace, name)) {
        // Whoever brings what is there wants to have it: it is not to be collected before the lease could name it.
        this.#metadata.hold(namespace, lease, this.#resource, name);
        throw alreadyExists(`snapshot "${name}": already exists`);
      }
      const { from, to } = this.#metadata.db.transaction(() => {
        const row = this.#row(namespace, key);
        const to = this.#insert(namespace, name, String(row["parent"]), labels);
        this.#metadata.hold(namespace, lease, this.#resource, name);
        return { from: String(row["backend"]), to };
      });
      const done = deferred<void>();
      this.#commits.set(`${namespace}\0${name}`, done.promise);
      try {
        await this.backend.commit(to, from, { labels });
        this.#forget(namespace, key);
      } catch (error) {
        this.#forget(namespace, name);
        throw error;
      } finally {
        this.#commits.delete(`${namespace}\0${name}`);
        done.resolve();
      }
    });
  }

  remove(namespace: string, key: string): Promise<void> {
    return this.#settled(namespace, key, async () => {
      const { row, last } = this.#metadata.db.transaction(() => {
        const row = this.#row(namespace, key);
        const child = this.#metadata.db.get(
          "SELECT 1 FROM snapshots WHERE namespace = ? AND snapshotter = ? AND parent = ?",
          namespace,
          this.name,
          key,
        );
        if (child) throw conflict("cannot remove snapshot with child: failed precondition");
        this.#forget(namespace, key);
        return { row, last: !this.isNamed(String(row["backend"])) };
      });
      if (!last) return;
      try {
        await this.backend.remove(String(row["backend"]));
      } catch (error) {
        if (isCode(error, "not_found")) return;
        // Still there, so it must be seen.
        this.#metadata.db.run(
          "INSERT OR IGNORE INTO snapshots VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
          ...Object.values(row),
        );
        throw error;
      }
    });
  }

  stat(namespace: string, key: string) {
    return this.#afterCommit(namespace, key, async () => {
      const row = this.#row(namespace, key);
      return infoOf(row, await this.backend.stat(String(row["backend"])));
    });
  }

  async update(namespace: string, key: string, labels: Labels, paths: readonly string[]) {
    for (const path of paths)
      if (path !== "labels" && !path.startsWith("labels."))
        throw invalid(`cannot update "${path}" field on snapshot "${key}": invalid argument`);
    const row = this.#metadata.db.transaction(() => {
      const merged = mergeLabels(labelsOf(this.#row(namespace, key)), labels, paths);
      checkLabels(merged);
      this.#metadata.db.run(
        "UPDATE snapshots SET labels = ?, updated_at = ? WHERE namespace = ? AND snapshotter = ? AND name = ?",
        JSON.stringify(merged),
        Date.now(),
        namespace,
        this.name,
        key,
      );
      return this.#row(namespace, key);
    });
    const backend = await this.backend.update({ name: String(row["backend"]), labels: labelsOf(row) });
    return infoOf(row, backend);
  }

  async list(namespace: string, filters: readonly string[]) {
    const filter = parseFilters(filters);
    const found = [];
    for (const row of this.#metadata.db.all(
      "SELECT * FROM snapshots WHERE namespace = ? AND snapshotter = ?",
      namespace,
      this.name,
    )) {
      const backend = await this.backend.stat(String(row["backend"])).catch((error) => {
        // Removed since we asked.
        if (isCode(error, "not_found")) return undefined;
        throw error;
      });
      if (!backend) continue;
      const info = infoOf(row, backend);
      if (filter(fields({ kind: backend.kind, name: info.name, parent: info.parent }, info.labels)))
        found.push(info);
    }
    return found;
  }

  usage(namespace: string, key: string): Promise<Usage> {
    return this.backend.usage(String(this.#row(namespace, key)["backend"]));
  }

  /** True while the snapshotter's `backend` has a name in any namespace. */
  isNamed(backend: string): boolean {
    const { db } = this.#metadata;
    return (
      db.get("SELECT 1 FROM snapshots WHERE snapshotter = ? AND backend = ? LIMIT 1", this.name, backend) !==
      undefined
    );
  }

  get #resource(): string {
    return `snapshots/${this.name}`;
  }

  /** Does `work`, away from the collector, when no commit that makes `name` is under way. */
  #settled<T>(namespace: string, name: string, work: () => Promise<T>): Promise<T> {
    return this.#lock.shared(() => this.#afterCommit(namespace, name, work));
  }

  async #afterCommit<T>(namespace: string, name: string, work: () => Promise<T>): Promise<T> {
    const id = `${namespace}\0${name}`;
    for (let commit = this.#commits.get(id); commit; commit = this.#commits.get(id)) await commit;
    return work();
  }

  #parent(namespace: string, parent: string): string {
    const row = this.#find(namespace, parent);
    if (!row) throw notFound(`parent snapshot ${parent} does not exist: not found`);
    return String(row["backend"]);
  }

  #row(namespace: string, key: string): Row {
    const row = this.#find(namespace, key);
    if (!row) throw notFound(`snapshot ${key} does not exist: not found`);
    return row;
  }

  #find(namespace: string, key: string): Row | undefined {
    return this.#metadata.db.get(
      "SELECT * FROM snapshots WHERE namespace = ? AND snapshotter = ? AND name = ?",
      namespace,
      this.name,
      key,
    );
  }

  /** Inserts a row and returns the snapshotter's key for it: a new one, unless it is another name of `linked`. */
  #insert(namespace: string, name: string, parent: string, labels: Labels, linked?: string): string {
    const { db } = this.#metadata;
    this.#metadata.ensureNamespace(namespace);
    if (this.#find(namespace, name)) throw alreadyExists(`snapshot "${name}": already exists`);
    const backend = linked ?? `${namespace}/${this.#nextNumber()}/${name}`;
    const now = Date.now();
    db.run(
      "INSERT INTO snapshots VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
      namespace,
      this.name,
      name,
      backend,
      parent,
      JSON.stringify(labels),
      now,
      now,
    );
    return backend;
  }

  #nextNumber(): number {
    const { db } = this.#metadata;
    const number = Number(db.get("SELECT value FROM properties WHERE name = 'sequence'")?.["value"] ?? 0) + 1;
    db.run("INSERT OR REPLACE INTO properties VALUES ('sequence', ?)", String(number));
    return number;
  }

  #forget(namespace: string, key: string): void {
    this.#metadata.db.run(
      "DELETE FROM snapshots WHERE namespace = ? AND snapshotter = ? AND name = ?",
      namespace,
      this.name,
      key,
    );
    this.#metadata.letGo(namespace, this.#resource, key);
  }
}

function infoOf(row: Row, backend: SnapshotInfo) {
  return {
    name: String(row["name"]),
    parent: String(row["parent"]),
    kind: kinds[backend.kind],
    createdAt: timestampFromDate(backend.createdAt),
    updatedAt: timestampFromMs(Math.max(Number(row["updated_at"]), backend.updatedAt.getTime())),
    labels: labelsOf(row),
  };
}
