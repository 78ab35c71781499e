import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, renameSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ExitFiles } from "./exits.ts";

let dir = "";
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "corten-exits-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

const leave = (id: string, code: string) => {
  writeFileSync(join(dir, "..new"), code);
  renameSync(join(dir, "..new"), join(dir, id));
};
const open = new AbortController().signal;
const alive = () => false;

describe("conmon's exit files", () => {
  test("a file is waited for, and one that is there is not", async () => {
    const exits = new ExitFiles(dir);
    const one = exits.wait("one", alive, open);
    const two = exits.wait("two", alive, open);
    leave("two", "3");
    await two;
    expect(exits.read("two")!.exitCode).toBe(3);
    expect(exits.read("one")).toBeUndefined();
    leave("one", "137\n");
    await one;
    await exits.wait("one", alive, open);
    expect(exits.read("one")!.exitCode).toBe(137);
    exits.remove("one");
    expect(exits.read("one")).toBeUndefined();
  });

  test("a wait keeps the program alive: a starting server has nothing else that would", async () => {
    const program = `
      const { ExitFiles } = await import(${JSON.stringify(join(import.meta.dir, "exits.ts"))});
      const waiting = new ExitFiles(${JSON.stringify(dir)}).wait("one", () => false, new AbortController().signal);
      console.log("waits");
      waiting.then(() => console.log("waited"));`;
    const child = Bun.spawn([process.execPath, "-e", program], { stdout: "pipe" });
    let said = "";
    for await (const chunk of child.stdout) {
      said += Buffer.from(chunk);
      if (said !== "waits\n") continue;
      // Time for a program to end that nothing keeps.
      await Bun.sleep(500);
      leave("one", "0");
    }
    expect(said).toBe("waits\nwaited\n");
  });

  test("the end is the time of the file", () => {
    leave("one", "0");
    utimesSync(join(dir, "one"), 1_700_000_000, 1_700_000_000);
    expect(new ExitFiles(dir).read("one")).toEqual({
      exitCode: 0,
      exitedAt: "2023-11-14T22:13:20.000000000Z",
    });
  });

  test("what is no number is no exit code", () => {
    leave("one", "");
    leave("two", "x");
    const exits = new ExitFiles(dir);
    expect([exits.read("one"), exits.read("two"), exits.read("three")]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });
});
