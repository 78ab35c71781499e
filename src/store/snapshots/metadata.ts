/** Who is whose parent: the snapshots' metadata in SQLite, the same for every snapshotter. */

import { Database, type Row } from "../../base/database.ts";
import { CortenError, invalid, notFound } from "../../base/errors.ts";
import type { SnapshotInfo, SnapshotKind, Usage } from "./types.ts";

const migrations = [
  `CREATE TABLE snapshots (
     id INTEGER PRIMARY KEY AUTOINCREMENT,
     name TEXT NOT NULL UNIQUE,
     kind TEXT NOT NULL,
     parent INTEGER REFERENCES snapshots (id),
     labels TEXT NOT NULL,
     created INTEGER NOT NULL,
     updated INTEGER NOT NULL,
     size INTEGER NOT NULL DEFAULT 0,
     inodes INTEGER NOT NULL DEFAULT 0
   );
   CREATE INDEX snapshots_parent ON snapshots (parent);`,
];

interface SnapshotRow extends Row {
  id: number;
  name: string;
  kind: string;
  parent: number | null;
  parent_name: string | null;
  labels: string;
  created: number;
  updated: number;
  size: number;
  inodes: number;
}

/** A snapshot with what its implementation needs to find it on disk. */
export interface StoredSnapshot {
  id: number;
  info: SnapshotInfo;
  usage: Usage;
  /** Ids of the parents, the nearest first. */
  parents: number[];
}

const select = `SELECT s.*, p.name AS parent_name FROM snapshots s LEFT JOIN snapshots p ON p.id = s.parent`;

export class SnapshotMetadata implements Disposable {
  readonly #db: Database;
  readonly #parents = new Map<number, number | null>();

  constructor(path: string) {
    this.#db = new Database(path, migrations);
  }

  /** Runs `work` as one transaction: when it throws, nothing of it happened. */
  transaction<T>(work: () => T): T {
    return this.#db.transaction(work);
  }

  get(name: string): StoredSnapshot {
    const row = this.#db.get<SnapshotRow>(`${select} WHERE s.name = ?`, name);
    if (!row) throw notFound(`snapshot ${name} does not exist: not found`);
    return this.#stored(row);
  }

  list(): StoredSnapshot[] {
    return this.#db.all<SnapshotRow>(`${select} ORDER BY s.id`).map((row) => this.#stored(row));
  }

  ids(): Set<number> {
    return new Set(this.#db.all<{ id: number }>("SELECT id FROM snapshots").map((row) => row.id));
  }

  /** Records a new active snapshot or view; ids are never used twice. */
  create(kind: SnapshotKind, key: string, parent: string, labels: Record<string, string>): StoredSnapshot {
    if (key === "") throw invalid("snapshot key must not be empty");
    this.#refuseExisting(key);
    let parentId: number | null = null;
    if (parent !== "") {
      const found = this.#db.get<{ id: number; kind: string; parent: number | null }>(
        "SELECT id, kind, parent FROM snapshots WHERE name = ?",
        parent,
      );
      if (!found) throw notFound(`missing parent ${JSON.stringify(parent)} bucket: not found`);
      if (found.kind !== "committed")
        throw invalid(`parent ${JSON.stringify(parent)} is not committed snapshot: invalid argument`);
      parentId = found.id;
    }
    const now = Date.now();
    const row = this.#db.get<{ id: number }>(
      "INSERT INTO snapshots (name, kind, parent, labels, created, updated) VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
      key,
      kind,
      parentId,
      JSON.stringify(labels),
      now,
      now,
    );
    const createdAt = new Date(now);
    return {
      id: row!.id,
      info: { kind, name: key, parent, labels: { ...labels }, createdAt, updatedAt: createdAt },
      usage: { size: 0, inodes: 0 },
      parents: this.#ancestors(parentId),
    };
  }

  commit(name: string, key: string, usage: Usage, labels: Record<string, string>): void {
    if (name === "") throw invalid("snapshot name must not be empty");
    const { id, info } = this.get(key);
    if (info.kind !== "active")
      throw new CortenError("failed_precondition", `snapshot ${key} is not active: failed precondition`);
    this.#refuseExisting(name);
    const now = Date.now();
    this.#db.run(
      `UPDATE snapshots SET name = ?, kind = 'committed', labels = ?, created = ?, updated = ?, size = ?, inodes = ?
       WHERE id = ?`,
      name,
      JSON.stringify(labels),
      now,
      now,
      usage.size,
      usage.inodes,
      id,
    );
  }

  remove(name: string): StoredSnapshot {
    const found = this.get(name);
    if (this.#db.get("SELECT 1 AS one FROM snapshots WHERE parent = ? LIMIT 1", found.id))
      throw new CortenError(
        "failed_precondition",
        `cannot remove snapshot ${name} with child: failed precondition`,
      );
    this.#db.run("DELETE FROM snapshots WHERE id = ?", found.id);
    return found;
  }

  /** As containerd: only labels can be changed, all of them or those named. */
  update(name: string, labels: Record<string, string>, fieldpaths: readonly string[]): SnapshotInfo {
    const { id, info } = this.get(name);
    let next: Record<string, string> = fieldpaths.length === 0 ? { ...labels } : { ...info.labels };
    for (const path of fieldpaths) {
      if (path === "labels") next = { ...labels };
      else if (path.startsWith("labels.")) {
        const key = path.slice("labels.".length);
        const value = labels[key];
        if (value === undefined) delete next[key];
        else next[key] = value;
      } else
        throw invalid(
          `cannot update ${JSON.stringify(path)} field on snapshot ${JSON.stringify(name)}: invalid argument`,
        );
    }
    this.#db.run(
      "UPDATE snapshots SET labels = ?, updated = ? WHERE id = ?",
      JSON.stringify(next),
      Date.now(),
      id,
    );
    return this.get(name).info;
  }

  #refuseExisting(name: string): void {
    if (this.#db.get("SELECT 1 AS one FROM snapshots WHERE name = ?", name))
      throw new CortenError("already_exists", `snapshot ${name}: already exists`);
  }

  #stored(row: SnapshotRow): StoredSnapshot {
    return {
      id: row.id,
      info: {
        kind: row.kind as SnapshotKind,
        name: row.name,
        parent: row.parent_name ?? "",
        labels: JSON.parse(row.labels) as Record<string, string>,
        createdAt: new Date(row.created),
        updatedAt: new Date(row.updated),
      },
      usage: { size: row.size, inodes: row.inodes },
      parents: this.#ancestors(row.parent),
    };
  }

  /** A snapshot and those below it. */
  #ancestors(from: number | null): number[] {
    const found: number[] = [];
    for (let at = from; at !== null; at = this.#parentOf(at)) found.push(at);
    return found;
  }

  /** A snapshot never changes its parent, and ids are never used twice. */
  #parentOf(id: number): number | null {
    let parent = this.#parents.get(id);
    if (parent === undefined) {
      parent =
        this.#db.get<{ parent: number | null }>("SELECT parent FROM snapshots WHERE id = ?", id)?.parent ??
        null;
      if (this.#parents.size > 4096) this.#parents.clear();
      this.#parents.set(id, parent);
    }
    return parent;
  }

  [Symbol.dispose](): void {
    this.#db[Symbol.dispose]();
  }
}
