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

test("an engine that its file ends itself lives until then", async () => {
  const scratch = mkdtempSync(join(tmpdir(), "corten-abandoned-"));
  try {
    const helper = JSON.stringify(join(import.meta.dir, "../helpers/engine.ts"));
    for (const name of ["first", "second"])
      writeFileSync(
        join(scratch, `${name}.test.ts`),
        `import { afterAll, beforeAll, test } from "bun:test";
         import { writeFileSync } from "node:fs";
         import { answers, startEngine } from ${helper};
         let engine;
         beforeAll(async () => { engine = await startEngine(); });
         afterAll(async () => {
           writeFileSync(${JSON.stringify(join(scratch, name))}, String(await answers(engine.socket)));
           await engine[Symbol.asyncDispose]();
         }, 110_000);
         test("does nothing", () => {});`,
      );
    // As the gate runs them: files one after the other in one process, and several processes.
    for (const flags of [["--parallel=2"], []]) {
      const ran = await run([process.execPath, "test", ...flags], { cwd: scratch, timeout: 110_000 });
      expect(ran.stderr).toContain("2 pass");
      for (const name of ["first", "second"]) {
        expect(readFileSync(join(scratch, name), "utf8")).toBe("true");
        rmSync(join(scratch, name));
      }
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
});
