/** The one file that touches `bun:sqlite`. */
import { type SQLQueryBindings, Database as Sqlite, type Statement } from "bun:sqlite";
import { chmodSync, closeSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { conflict } from "./errors.ts";

export type Value = string | number | bigint | Uint8Array | null;
export type Row = Record<string, Value>;

const outermost = ["BEGIN IMMEDIATE", "COMMIT", ["ROLLBACK"]] as const;
const nested = ["SAVEPOINT nested", "RELEASE nested", ["ROLLBACK TO nested", "RELEASE nested"]] as const;

/** Prepared statements by their text, transactions, and migrations by `user_version`. */
export class Database implements Disposable {
  readonly #db: Sqlite;
  /** Bun's own `query()` keeps the first twenty only, and prepares the others anew each time. */
  readonly #statements = new Map<string, Statement>();
  #depth = 0;

  /**
   * Opens (and makes) the database at `path`. `migrations[n]` brings version n to n+1; those not yet
   * applied run in one transaction. WAL with synchronous=NORMAL: a killed process loses nothing committed.
   * A database has one owner; that it locks the file once, for its life, saves eight system calls a transaction.
   */
  constructor(path: string, migrations: readonly string[]) {
    if (path !== ":memory:") {
      mkdirSync(dirname(path), { recursive: true, mode: 0o711 });
      // Records hold environments and credentials; the log and the index take their mode from this file.
      closeSync(openSync(path, "a", 0o600));
      for (const file of [path, `${path}-wal`, `${path}-shm`]) tighten(file);
    }
    this.#db = new Sqlite(path, { create: true, strict: true, safeIntegers: false });
    try {
      // The owner before us may be about to end.
      this.#db.run("PRAGMA busy_timeout = 2000");
      this.#db.run("PRAGMA locking_mode = EXCLUSIVE");
      this.#db.run("PRAGMA journal_mode = WAL");
      this.#db.run("PRAGMA synchronous = NORMAL");
      // To bring the log into the database waits for the disk three times, with all who wait for us: a burst of a hundred
      // starts does it once, not four times. The log is 16 MB then, mostly the same few pages.
      this.#db.run("PRAGMA wal_autocheckpoint = 4000");
      this.#db.run("PRAGMA foreign_keys = ON");
      this.transaction(() => this.#migrate(path, migrations));
    } catch (error) {
      this[Symbol.dispose]();
      if ((error as { code?: unknown }).code === "SQLITE_BUSY")
        throw conflict(`another process uses ${path}`, error);
      throw error;
    }
  }

  #migrate(path: string, migrations: readonly string[]): void {
    const version = Number(this.get("PRAGMA user_version")?.["user_version"] ?? 0);
    if (version > migrations.length)
      throw new Error(`${path} was written by a newer version (schema ${version})`);
    for (const migration of migrations.slice(version)) this.#db.run(migration);
    this.#db.run(`PRAGMA user_version = ${migrations.length}`);
  }

  #statement(sql: string): Statement {
    let statement = this.#statements.get(sql);
    if (!statement) {
      statement = this.#db.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  /** Runs a statement and returns how many rows it changed. */
  run(sql: string, ...values: Value[]): number {
    return this.#statement(sql).run(...(values as SQLQueryBindings[])).changes;
  }

  get<T extends Row = Row>(sql: string, ...values: Value[]): T | undefined {
    return (this.#statement(sql).get(...(values as SQLQueryBindings[])) as T | null) ?? undefined;
  }

  all<T extends Row = Row>(sql: string, ...values: Value[]): T[] {
    return this.#statement(sql).all(...(values as SQLQueryBindings[])) as T[];
  }

  /** All of `work` or nothing of it; takes the write lock at once. Must be synchronous. */
  transaction<T>(work: () => T): T {
    // Bun's own wrapper prepares its statements anew each time, which costs more than a small transaction.
    const [begin, commit, rollback] = this.#depth === 0 ? outermost : nested;
    this.#statement(begin).run();
    this.#depth++;
    try {
      const result = work();
      this.#statement(commit).run();
      return result;
    } catch (error) {
      // SQLite has rolled back by itself after some failures (a full disk).
      if (this.#db.inTransaction) for (const sql of rollback) this.#statement(sql).run();
      throw error;
    } finally {
      this.#depth--;
    }
  }

  [Symbol.dispose](): void {
    // An open statement would keep the file locked.
    for (const statement of this.#statements.values()) statement.finalize();
    this.#statements.clear();
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
