import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { likeness, Mirror, type MirrorEntry } from "./mirror.ts";
import { Mirrors } from "./mirrors.ts";

let root = "";
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "corten-mirrors-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const link = (path: string, to: string): MirrorEntry => ({
  path,
  type: "symlink",
  mode: 0o777,
  size: 0,
  mtimeNs: 1n,
  link: to,
  device: { major: 0, minor: 0 },
  xattrs: [],
});

function fill(mirrors: Mirrors, entries: MirrorEntry[]): string {
  const place = mirrors.take("key", (directory) => likeness(directory, entries));
  const mirror = new Mirror(place.directory);
  for (const entry of entries) mirror.entry(entry);
  mirror.finish();
  place.release();
  return place.directory;
}

test("two directories of one key are told apart by what is in them", () => {
  const mirrors = new Mirrors(root);
  const [one, other] = [[link("a", "1"), link("b", "2")], [link("x", "1")]];
  const first = fill(mirrors, one);
  const second = fill(mirrors, other);
  expect(second).not.toBe(first);
  expect(fill(mirrors, one)).toBe(first);
  expect(fill(mirrors, other)).toBe(second);
  expect(fill(mirrors, [link("a", "1"), link("b", "changed")])).toBe(first);
});

test("a directory in use is nobody else's", () => {
  const mirrors = new Mirrors(root);
  const places = Array.from({ length: 8 }, () => mirrors.take("key"));
  expect(new Set(places.map(({ directory }) => directory)).size).toBe(8);
  for (const place of places) place.release();
  mirrors.trim(0);
  expect(mirrors.take("key").directory).toContain("mirrors");
});
