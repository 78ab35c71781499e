import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Database } from "../../base/database.ts";
import { MountDirectories } from "./mounts.ts";
import { migrations } from "./schema.ts";

type Sharing = "shared" | "private" | "locked";

let root: string;
let db: Database;
let mounts: MountDirectories;
const open = () => {
  db = new Database(join(root, "cache.db"), migrations);
  mounts = new MountDirectories(db, root);
};
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "corten-mounts-"));
  open();
});
afterEach(async () => {
  await mounts.settled;
  db[Symbol.dispose]();
  rmSync(root, { recursive: true, force: true });
});

const never = new AbortController().signal;
const mount = (
  name: string,
  sharing: Sharing = "shared",
  more: { initial?: (path: string) => Promise<void>; signal?: AbortSignal; description?: string } = {},
) => mounts.mount(name, { sharing, signal: never, ...more });
const soon = async (work: Promise<unknown>) => {
  let there = false;
  void work.then(() => {
    there = true;
  });
  await new Promise((next) => setTimeout(next, 20));
  return there;
};

test("a directory keeps what was written for the next one who asks, also after a restart", async () => {
  const first = await mount("npm");
  writeFileSync(join(first.path, "file"), "kept");
  await first.release();
  db[Symbol.dispose]();
  open();
  const second = await mount("npm", "locked");
  expect(second.path).toBe(first.path);
  expect(readFileSync(join(second.path, "file"), "utf8")).toBe("kept");
  expect((await mount("other")).path).not.toBe(first.path);
});

test("shared: all have the same one at the same time", async () => {
  const all = await Promise.all([mount("x"), mount("x"), mount("x")]);
  expect(new Set(all.map(({ path }) => path)).size).toBe(1);
  await all[0]!.release();
  await all[0]!.release();
  await all[1]!.release();
  expect((await mount("x", "private")).path).not.toBe(all[2]!.path);
});

test("private: another one while the first is in use, and then whichever is free", async () => {
  const [one, two] = await Promise.all([mount("x", "private"), mount("x", "private")]);
  expect(one.path).not.toBe(two.path);
  await one.release();
  expect((await mount("x", "private")).path).toBe(one.path);
});

test("locked: one after the other", async () => {
  const one = await mount("x", "locked");
  const waiting = [mount("x", "locked"), mount("x", "locked")];
  expect(await soon(Promise.race(waiting))).toBe(false);
  await one.release();
  const two = await Promise.race(waiting);
  expect(two.path).toBe(one.path);
  expect(await soon(Promise.all(waiting))).toBe(false);
  await two.release();
  for (const last of await Promise.all(waiting)) await last.release();
  expect(readdirSync(join(root, "mounts"))).toHaveLength(1);
});

test("locked: who gives up waiting leaves the others' turn alone", async () => {
  const one = await mount("x", "locked");
  const stop = new AbortController();
  const waiting = mount("x", "locked", { signal: stop.signal }).catch(
    (error: { code: string }) => error.code,
  );
  const next = mount("x", "locked");
  await new Promise((tick) => setTimeout(tick, 5));
  stop.abort();
  expect(await waiting).toBe("canceled");
  await one.release();
  expect((await next).path).toBe(one.path);
});

test("a new one is filled once, before anybody has it", async () => {
  let filled = 0;
  const initial = async (path: string) => {
    filled++;
    await new Promise((next) => setTimeout(next, 10));
    writeFileSync(join(path, "seed"), "seed");
  };
  const all = await Promise.all([mount("x", "shared", { initial }), mount("x", "shared", { initial })]);
  expect(filled).toBe(1);
  for (const { path } of all) expect(readdirSync(path)).toEqual(["seed"]);
});

test("one that cannot be filled is not there, and the next attempt begins anew", async () => {
  const initial = () => Promise.reject(new Error("no disk"));
  expect(await mount("x", "locked", { initial }).catch((error: Error) => error.message)).toBe("no disk");
  await mounts.settled;
  expect(readdirSync(join(root, "mounts"))).toEqual([]);
  expect(readdirSync((await mount("x", "locked")).path)).toEqual([]);
});

test("after a kill, directories and rows without each other are gone", async () => {
  const { path } = await mount("kept");
  await mount("lost").then(({ path }) => rmSync(path, { recursive: true }));
  db[Symbol.dispose]();
  for (const name of ["new-half", "stray"]) writeFileSync(join(root, "mounts", name), "");
  open();
  await mounts.settled;
  expect(readdirSync(join(root, "mounts")).map((name) => join(root, "mounts", name))).toEqual([path]);
  expect(await mounts.usage()).toHaveLength(1);
});

test("usage tells size, times and use, measured anew after each use", async () => {
  const one = await mount("npm", "shared", { description: "cached mount /root/.npm" });
  writeFileSync(join(one.path, "file"), Buffer.alloc(100_000));
  const [busy] = await mounts.usage();
  expect(busy).toMatchObject({
    type: "exec.cachemount",
    description: "cached mount /root/.npm",
    mutable: true,
    inUse: true,
    usageCount: 0,
    lastUsedAt: undefined,
  });
  await one.release();
  const [record] = await mounts.usage();
  expect(record).toMatchObject({ inUse: false, usageCount: 1 });
  expect(record!.size).toBeGreaterThan(100_000);
  const again = await mount("npm");
  rmSync(join(again.path, "file"));
  await again.release();
  expect((await mounts.usage())[0]!.size).toBeLessThan(100_000);
});

test("one that is in use is not removed", async () => {
  const one = await mount("x");
  const { id } = (await mounts.usage())[0]!;
  expect(mounts.remove(id)).toBe(false);
  await one.release();
  expect(mounts.remove(id)).toBe(true);
  expect(mounts.remove(id)).toBe(false);
  await mounts.settled;
  expect(existsSync(one.path)).toBe(false);
});
