import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Database } from "../../base/database.ts";
import { migrations } from "./schema.ts";

const directory = mkdtempSync(join(tmpdir(), "corten-schema-"));
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test("a database of the first version keeps its snapshots, and they may have several names from then on", () => {
  const path = join(directory, "meta.db");
  {
    using first = new Database(path, migrations.slice(0, 1));
    first.run("INSERT INTO snapshots VALUES ('ns', 'overlayfs', 'a', 'ns/1/a', '', '{}', 1, 2)");
  }
  using now = new Database(path, migrations);
  now.run("INSERT INTO snapshots VALUES ('ns', 'overlayfs', 'b', 'ns/1/a', '', '{}', 3, 4)");
  expect(now.all("SELECT name, backend, created_at FROM snapshots")).toEqual([
    { name: "a", backend: "ns/1/a", created_at: 1 },
    { name: "b", backend: "ns/1/a", created_at: 3 },
  ]);
  const plan = now.all(
    "EXPLAIN QUERY PLAN SELECT 1 FROM snapshots WHERE snapshotter = 'x' AND backend = 'y'",
  );
  expect(JSON.stringify(plan)).toContain("snapshots_by_backend");
});
