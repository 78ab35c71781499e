/** What a test that runs out of time has started: Bun ends none of it, and gives the test no chance to. */
import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { leftovers, run } from "../helpers/engine.ts";

test("an engine whose test runs out of time leaves no process, mount, bridge or table behind", async () => {
  const scratch = mkdtempSync(join(tmpdir(), "corten-abandoned-"));
  try {
    const helpers = join(import.meta.dir, "../helpers");
    const told = join(scratch, "root");
    writeFileSync(
      join(scratch, "abandoned.test.ts"),
      `import { test } from "bun:test";
       import { writeFileSync } from "node:fs";
       import { startEngine } from ${JSON.stringify(join(helpers, "engine.ts"))};
       const engine = await startEngine();
       writeFileSync(${JSON.stringify(told)}, engine.root);
       test("waits for ever", () => new Promise((next) => setTimeout(next, 1_000_000)), 1);`,
    );
    const ran = await run([process.execPath, "test", "abandoned.test.ts"], {
      cwd: scratch,
      timeout: 110_000,
    });
    expect(ran.stderr).toContain("timed out");
    const root = readFileSync(told, "utf8");
    const hash = createHash("sha256").update(join(root, "lib")).digest("hex");
    expect(leftovers(root)).toEqual([]);
    expect(existsSync(root)).toBe(false);
    expect(existsSync(`/sys/class/net/corten-${hash.slice(0, 8)}`)).toBe(false);
    const tables = await run(["nft", "list", "tables"]);
    expect(tables.stdout).not.toContain(hash.slice(0, 12));
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
});
