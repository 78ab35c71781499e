import { Database, type Row } from "../../base/database.ts";
import { notFound } from "../../base/errors.ts";
import { migrations } from "./schema.ts";

export type Labels = Record<string, string>;

/** The daemon's SQLite database, with what all services need of it. */
export class Metadata implements Disposable {
  readonly db: Database;
  /** Namespaces known to exist: the first write makes one, as containerd does. */
  readonly #known = new Set<string>();

  constructor(path: string) {
    this.db = new Database(path, migrations);
  }

  ensureNamespace(namespace: string): void {
    if (this.#known.has(namespace)) return;
    this.db.run("INSERT OR IGNORE INTO namespaces (name, labels) VALUES (?, '{}')", namespace);
    this.#known.add(namespace);
  }

  forgetNamespace(namespace: string): void {
    this.#known.delete(namespace);
  }

  /** Lets a lease hold something; a call without a lease holds nothing. */
  hold(namespace: string, lease: string | undefined, type: string, id: string): void {
    if (lease === undefined) return;
    if (!this.db.get("SELECT 1 FROM leases WHERE namespace = ? AND id = ?", namespace, lease))
      throw notFound("lease does not exist: not found");
    this.db.run("INSERT OR IGNORE INTO lease_resources VALUES (?, ?, ?, ?)", namespace, lease, type, id);
  }

  letGo(namespace: string, type: string, id: string, lease?: string): void {
    if (lease === undefined)
      this.db.run(
        "DELETE FROM lease_resources WHERE namespace = ? AND type = ? AND id = ?",
        namespace,
        type,
        id,
      );
    else
      this.db.run(
        "DELETE FROM lease_resources WHERE namespace = ? AND lease = ? AND type = ? AND id = ?",
        namespace,
        lease,
        type,
        id,
      );
  }

  [Symbol.dispose](): void {
    this.db[Symbol.dispose]();
  }
}

/** Labels as they are kept in a column. */
export const labelsOf = (row: Row): Labels => JSON.parse(String(row["labels"])) as Labels;
