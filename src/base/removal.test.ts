import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Removal } from "./removal.ts";

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "corten-removal-"));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

test("a discarded directory is gone at once, and its content after a while", async () => {
  const removal = new Removal(join(dir, "removed"));
  mkdirSync(join(dir, "bundle/rootfs"), { recursive: true });
  writeFileSync(join(dir, "bundle/config.json"), "{}");
  removal.discard(join(dir, "bundle"));
  expect(existsSync(join(dir, "bundle"))).toBe(false);
  await removal.settled;
  expect(readdirSync(join(dir, "removed"))).toEqual([]);
});

test("what a killed process left is removed by the next", async () => {
  mkdirSync(join(dir, "removed/1-2-3/deep"), { recursive: true });
  await new Removal(join(dir, "removed")).settled;
  expect(readdirSync(join(dir, "removed"))).toEqual([]);
});

test("a root that is not empty, as a mounted one, is left alone", async () => {
  const removal = new Removal(join(dir, "removed"));
  mkdirSync(join(dir, "bundle/rootfs/etc"), { recursive: true });
  removal.discard(join(dir, "bundle"));
  await removal.settled;
  const [name = ""] = readdirSync(join(dir, "removed"));
  expect(existsSync(join(dir, "removed", name, "rootfs/etc"))).toBe(true);
});

test("a directory that is not there needs no removal", () => {
  new Removal(join(dir, "removed")).discard(join(dir, "nothing"));
  expect(existsSync(join(dir, "removed"))).toBe(true);
});
