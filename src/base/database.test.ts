import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Database } from "./database.ts";

test("a transaction that throws leaves nothing behind", () => {
  using db = new Database(":memory:", ["CREATE TABLE t (a TEXT PRIMARY KEY)"]);
  expect(() =>
    db.transaction(() => {
      db.run("INSERT INTO t VALUES (?)", "x");
      throw new Error("no");
    }),
  ).toThrow("no");
  expect(db.all("SELECT * FROM t")).toEqual([]);
});

test("an inner transaction that throws leaves the outer one's work", () => {
  using db = new Database(":memory:", ["CREATE TABLE t (a TEXT PRIMARY KEY)"]);
  db.transaction(() => {
    db.run("INSERT INTO t VALUES (?)", "outer");
    expect(() =>
      db.transaction(() => {
        db.run("INSERT INTO t VALUES (?)", "inner");
        throw new Error("no");
      }),
    ).toThrow("no");
  });
  expect(db.all("SELECT a FROM t")).toEqual([{ a: "outer" }]);
});

test("a file belongs to one owner at a time, and to the next once it is closed", () => {
  const directory = mkdtempSync(join(tmpdir(), "corten-database-"));
  try {
    const path = join(directory, "a.db");
    const schema = ["CREATE TABLE t (a TEXT PRIMARY KEY)"];
    const first = new Database(path, schema);
    first.run("INSERT INTO t VALUES (?)", "x");
    expect(() => new Database(path, schema)).toThrow("another process uses");
    first[Symbol.dispose]();
    using second = new Database(path, schema);
    expect(second.all("SELECT a FROM t")).toEqual([{ a: "x" }]);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
