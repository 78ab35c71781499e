/** What every snapshotter must do, whatever it is made of. Run by test/integration/snapshotters.test.ts. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Snapshotter } from "../../src/store/index.ts";
import { withMounts } from "../../src/sys/mount.ts";
import { readMountInfo } from "../../src/sys/mountinfo.ts";

export function snapshotterContract(name: string, open: (root: string) => Promise<Snapshotter>): void {
  describe(`snapshotter ${name}`, () => {
    let root: string;
    let snapshots: Snapshotter;

    beforeEach(async () => {
      root = mkdtempSync(join(tmpdir(), `corten-snapshots-${name}-`));
      snapshots = await open(root);
    });
    afterEach(async () => {
      await snapshots.close();
      expect(readMountInfo().filter((mount) => mount.mountPoint.startsWith(root))).toEqual([]);
      rmSync(root, { recursive: true, force: true });
    });

    /** Makes the committed snapshot `to` on `from` with what `fill` does to it. */
    async function layer(to: string, from: string, fill: (dir: string) => void): Promise<void> {
      const mounts = await snapshots.prepare(`making-${to}`, from);
      await withMounts(mounts, (dir) => fill(dir));
      await snapshots.commit(to, `making-${to}`);
    }
    const look = async <T>(parent: string, work: (dir: string) => T): Promise<T> => {
      const mounts = await snapshots.view("look", parent);
      try {
        return await withMounts(mounts, work);
      } finally {
        await snapshots.remove("look");
      }
    };
    const read = (path: string) => readFileSync(path, "utf8");

    test("its name is its own", () => expect(snapshots.name).toBe(name));

    test("what is written to a snapshot is in those made on top of it", async () => {
      await layer("one", "", (dir) => {
        writeFileSync(join(dir, "a"), "first");
        mkdirSync(join(dir, "d"));
        writeFileSync(join(dir, "d/b"), "below");
      });
      await layer("two", "one", (dir) => {
        writeFileSync(join(dir, "a"), "second");
        rmSync(join(dir, "d/b"));
        writeFileSync(join(dir, "d/c"), "new");
      });
      expect(await look("one", (dir) => [read(join(dir, "a")), readdirSync(join(dir, "d"))])).toEqual([
        "first",
        ["b"],
      ]);
      expect(await look("two", (dir) => [read(join(dir, "a")), readdirSync(join(dir, "d"))])).toEqual([
        "second",
        ["c"],
      ]);
    });

    test("a directory removed and made again shows nothing of the old one", async () => {
      await layer("one", "", (dir) => {
        mkdirSync(join(dir, "d/deep"), { recursive: true });
        writeFileSync(join(dir, "d/deep/old"), "old");
      });
      await layer("two", "one", (dir) => {
        rmSync(join(dir, "d"), { recursive: true });
        mkdirSync(join(dir, "d"));
        writeFileSync(join(dir, "d/new"), "new");
      });
      expect(await look("two", (dir) => readdirSync(join(dir, "d")))).toEqual(["new"]);
    });

    test("renames, symlinks, hard links, owners and modes carry over to the next layer", async () => {
      await layer("one", "", (dir) => {
        writeFileSync(join(dir, "f"), "data");
        linkSync(join(dir, "f"), join(dir, "g"));
        symlinkSync("/nowhere", join(dir, "s"));
        writeFileSync(join(dir, "suid"), "x");
        chownSync(join(dir, "suid"), 1000, 1001);
        chmodSync(join(dir, "suid"), 0o4755);
      });
      await layer("two", "one", (dir) => renameSync(join(dir, "suid"), join(dir, "moved")));
      await look("two", (dir) => {
        expect(readdirSync(dir).sort()).toEqual(["f", "g", "moved", "s"]);
        const moved = lstatSync(join(dir, "moved"));
        expect([moved.uid, moved.gid, moved.mode & 0o7777]).toEqual([1000, 1001, 0o4755]);
        expect(lstatSync(join(dir, "f")).ino).toBe(lstatSync(join(dir, "g")).ino);
        expect(lstatSync(join(dir, "s")).isSymbolicLink()).toBe(true);
      });
    });

    test("the root directory's owner and mode are the parent's", async () => {
      await layer("one", "", (dir) => {
        chmodSync(dir, 0o1750);
        chownSync(dir, 12, 34);
      });
      await layer("two", "one", (dir) => {
        const stat = lstatSync(dir);
        expect([stat.uid, stat.gid, stat.mode & 0o7777]).toEqual([12, 34, 0o1750]);
      });
      const again = await look("two", (dir) => lstatSync(dir).mode & 0o7777);
      expect(again).toBe(0o1750);
    });

    test("a view is read-only, on one parent and on several", async () => {
      await layer("one", "", (dir) => writeFileSync(join(dir, "a"), "1"));
      await layer("two", "one", (dir) => writeFileSync(join(dir, "b"), "2"));
      for (const parent of ["", "one", "two"]) {
        const mounts = await snapshots.view("v", parent);
        await withMounts(mounts, (dir) =>
          expect(() => writeFileSync(join(dir, "x"), "")).toThrow(/EROFS|read-only/),
        );
        await expect(snapshots.commit("never", "v")).rejects.toMatchObject({ code: "failed_precondition" });
        await snapshots.remove("v");
      }
    });

    test("stat and walk tell kind, parent and labels", async () => {
      await layer("one", "", () => {});
      await snapshots.prepare("active", "one", { labels: { "containerd.io/gc.root": "now" } });
      await snapshots.view("view", "one");
      expect(await snapshots.stat("active")).toMatchObject({
        kind: "active",
        name: "active",
        parent: "one",
        labels: { "containerd.io/gc.root": "now" },
      });
      const seen: string[] = [];
      await snapshots.walk((info) => void seen.push(`${info.kind} ${info.name} on ${info.parent}`));
      expect(seen.sort()).toEqual(["active active on one", "committed one on ", "view view on one"]);
      await expect(snapshots.stat("making-one")).rejects.toMatchObject({ code: "not_found" });
      await expect(snapshots.mounts("one")).rejects.toMatchObject({ code: "failed_precondition" });
    });

    test("names and keys are taken only once", async () => {
      await layer("one", "", () => {});
      await snapshots.prepare("key", "one");
      await expect(snapshots.prepare("key", "one")).rejects.toMatchObject({ code: "already_exists" });
      await expect(snapshots.view("one", "")).rejects.toMatchObject({ code: "already_exists" });
      await expect(snapshots.commit("one", "key")).rejects.toMatchObject({ code: "already_exists" });
      expect((await snapshots.stat("key")).kind).toBe("active");
    });

    test("a parent must exist and be committed", async () => {
      await snapshots.prepare("active", "");
      await expect(snapshots.prepare("x", "missing")).rejects.toMatchObject({ code: "not_found" });
      await expect(snapshots.prepare("x", "active")).rejects.toMatchObject({ code: "invalid_argument" });
      await expect(snapshots.stat("x")).rejects.toMatchObject({ code: "not_found" });
    });

    test("a snapshot with children cannot be removed", async () => {
      await layer("one", "", () => {});
      await layer("two", "one", () => {});
      await expect(snapshots.remove("one")).rejects.toMatchObject({ code: "failed_precondition" });
      await snapshots.remove("two");
      await snapshots.remove("one");
      await expect(snapshots.remove("one")).rejects.toMatchObject({ code: "not_found" });
    });

    test("removed snapshots leave nothing on disk after cleanup", async () => {
      const before = readdirSync(join(root, "snapshots"));
      await layer("one", "", (dir) => writeFileSync(join(dir, "a"), "1"));
      await snapshots.remove("one");
      await snapshots.cleanup();
      expect(readdirSync(join(root, "snapshots"))).toEqual(before);
    });

    test("labels are replaced as a whole or one by one", async () => {
      await snapshots.prepare("k", "", { labels: { a: "1", b: "2" } });
      await snapshots.update({ name: "k", labels: { a: "3", c: "4" } }, ["labels.a", "labels.b"]);
      expect((await snapshots.stat("k")).labels).toEqual({ a: "3" });
      await snapshots.update({ name: "k", labels: { z: "9" } });
      expect((await snapshots.stat("k")).labels).toEqual({ z: "9" });
      await expect(snapshots.update({ name: "k", labels: {} }, ["parent"])).rejects.toMatchObject({
        code: "invalid_argument",
      });
    });

    test("usage counts what a snapshot holds", async () => {
      const empty = await snapshots.prepare("k", "");
      const before = await snapshots.usage("k");
      await withMounts(empty, (dir) => writeFileSync(join(dir, "big"), Buffer.alloc(1 << 20, 1)));
      const after = await snapshots.usage("k");
      expect(after.size - before.size).toBeGreaterThanOrEqual(1 << 20);
      expect(after.inodes - before.inodes).toBe(1);
      await snapshots.commit("c", "k");
      expect(await snapshots.usage("c")).toEqual(after);
    });

    test("a chain of 130 layers can be mounted and read to its bottom", async () => {
      let parent = "";
      for (let n = 0; n < 130; n++) {
        const mounts = await snapshots.prepare("k", parent);
        // Mounting every step would take long and prove no more.
        if (n === 0 || n === 129)
          await withMounts(mounts, (dir) => writeFileSync(join(dir, `file${n}`), String(n)));
        parent = `layer-${n}`;
        await snapshots.commit(parent, "k");
      }
      expect(await look(parent, (dir) => readdirSync(dir).sort())).toEqual(["file0", "file129"]);
    });

    test("many can be made at once", async () => {
      await layer("base", "", (dir) => writeFileSync(join(dir, "a"), "1"));
      const all = await Promise.all(Array.from({ length: 20 }, (_, n) => snapshots.prepare(`k${n}`, "base")));
      expect(new Set(all.map((mounts) => JSON.stringify(mounts))).size).toBe(20);
      await Promise.all(all.map((_, n) => snapshots.remove(`k${n}`)));
    });

    test("after a restart all is as it was, and what was half made is gone", async () => {
      await layer("one", "", (dir) => writeFileSync(join(dir, "a"), "1"));
      const mounts = await snapshots.prepare("active", "one");
      await snapshots.close();
      mkdirSync(join(root, "snapshots", "new-77", "fs"), { recursive: true });
      mkdirSync(join(root, "snapshots", "rm-1-2-3", "fs"), { recursive: true });
      mkdirSync(join(root, "snapshots", "4711"));
      snapshots = await open(root);
      expect(await snapshots.mounts("active")).toEqual(mounts);
      expect(await look("one", (dir) => read(join(dir, "a")))).toBe("1");
      await snapshots.cleanup();
      for (const name of ["new-77", "rm-1-2-3", "4711"])
        expect(existsSync(join(root, "snapshots", name))).toBe(false);
    });
  });
}
