/** The one file that touches `bun:sqlite`. */
import { type SQLQueryBindings, Database as Sqlite } from "bun:sqlite";
import { chmodSync, closeSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";

export type Value = string | number | bigint | Uint8Array | null;
export type Row = Record<string, Value>;

const outermost = ["BEGIN IMMEDIATE", "COMMIT", ["ROLLBACK"]] as const;
const nested = ["SAVEPOINT nested", "RELEASE nested", ["ROLLBACK TO nested", "RELEASE nested"]] as const;

/** Prepared statements by their text, transactions, and migrations by `user_version`. */
export class Database implements Disposable {
  readonly #db: Sqlite;
  #depth = 0;

  /**
   * Opens (and makes) the database at `path`. `migrations[n]` brings version n to n+1; those not yet
   * applied run in one transaction. WAL with synchronous=NORMAL: a killed process loses nothing committed.
   */
  constructor(path: string, migrations: readonly string[]) {
    if (path !== ":memory:") {
      mkdirSync(dirname(path), { recursive: true, mode: 0o711 });
      // Records hold environments and credentials; the log and the index take their mode from this file.
      closeSync(openSync(path, "a", 0o600));
      for (const file of [path, `${path}-wal`, `${path}-shm`]) tighten(file);
    }
    this.#db = new Sqlite(path, { create: true, strict: true, safeIntegers: false });
    this.#db.run("PRAGMA journal_mode = WAL");
    this.#db.run("PRAGMA synchronous = NORMAL");
    this.#db.run("PRAGMA busy_timeout = 5000");
    this.#db.run("PRAGMA foreign_keys = ON");
    this.transaction(() => {
      const version = Number(this.get("PRAGMA user_version")?.["user_version"] ?? 0);
      if (version > migrations.length)
        throw new Error(`${path} was written by a newer version (schema ${version})`);
      for (const migration of migrations.slice(version)) this.#db.run(migration);
      this.#db.run(`PRAGMA user_version = ${migrations.length}`);
    });
  }

  /** Runs a statement and returns how many rows it changed. */
  run(sql: string, ...values: Value[]): number {
    return this.#db.query(sql).run(...(values as SQLQueryBindings[])).changes;
  }

  get<T extends Row = Row>(sql: string, ...values: Value[]): T | undefined {
    return (this.#db.query(sql).get(...(values as SQLQueryBindings[])) as T | null) ?? undefined;
  }

  all<T extends Row = Row>(sql: string, ...values: Value[]): T[] {
    return this.#db.query(sql).all(...(values as SQLQueryBindings[])) as T[];
  }

  /** All of `work` or nothing of it; takes the write lock at once. Must be synchronous. */
  transaction<T>(work: () => T): T {
    // Bun's own wrapper prepares its statements anew each time, which costs more than a small transaction.
    const [begin, commit, rollback] = this.#depth === 0 ? outermost : nested;
    this.#db.query(begin).run();
    this.#depth++;
    try {
      const result = work();
      this.#db.query(commit).run();
      return result;
    } catch (error) {
      // SQLite has rolled back by itself after some failures (a full disk).
      if (this.#db.inTransaction) for (const sql of rollback) this.#db.query(sql).run();
      throw error;
    } finally {
      this.#depth--;
    }
  }

  [Symbol.dispose](): void {
    this.#db.close();
  }
}

/** A file of an earlier version was readable by all. */
function tighten(path: string): void {
  try {
    chmodSync(path, 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}
