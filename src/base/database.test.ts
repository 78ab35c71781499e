import { expect, test } from "bun:test";
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
