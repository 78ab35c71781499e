/** Another name for a committed snapshot (`corten.snapshot.from`): in process, over a restart, and seen by the real ctr. */
import { afterAll, afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ErrorCode, isCode } from "../../src/base/errors.ts";
import { type ContainerdClient, inProcess } from "../../src/containerd/client/index.ts";
import { type Containerd, openContainerd } from "../../src/containerd/daemon.ts";
import { withMounts } from "../../src/sys/mount.ts";
import { startContainerd, type TestContainerd } from "../helpers/containerd.ts";
import { requires } from "../helpers/requires.ts";

setDefaultTimeout(240_000);

const withCtr = requires("ctr");

async function codeOf(work: Promise<unknown>): Promise<ErrorCode | "none"> {
  try {
    await work;
    return "none";
  } catch (error) {
    return (error as { code: ErrorCode }).code;
  }
}

/** The committed snapshot `name` on `parent`, with a file that bears its name. */
async function layer(client: ContainerdClient, snapshotter: string, name: string, parent = "") {
  const key = `making-${name}`;
  const { mounts } = await client.snapshots.prepare({ snapshotter, key, parent });
  await withMounts(mounts, (directory) => writeFileSync(join(directory, name), name));
  await client.snapshots.commit({ snapshotter, key, name });
}

const link = (client: ContainerdClient, snapshotter: string, from: string, to: string, parent = "") =>
  codeOf(
    client.snapshots.prepare({ snapshotter, key: to, parent, labels: { "corten.snapshot.from": from } }),
  );

async function look(client: ContainerdClient, snapshotter: string, parent: string): Promise<string[]> {
  const { mounts } = await client.snapshots.view({ snapshotter, key: `look-${parent}`, parent });
  try {
    return await withMounts(mounts, (directory) =>
      readdirSync(directory)
        .sort()
        .map((name) => readFileSync(join(directory, name), "utf8")),
    );
  } finally {
    await client.snapshots.remove({ snapshotter, key: `look-${parent}` });
  }
}

for (const snapshotter of ["overlayfs", "native"]) {
  describe(`a second name of a snapshot of ${snapshotter}`, () => {
    let root: string;
    let daemon: Containerd;
    let client: ContainerdClient;
    const open = async () => {
      daemon = await openContainerd({ root: join(root, "lib"), state: join(root, "run") });
      client = inProcess(daemon.services, "default").with({ lease: "test" });
    };
    beforeEach(async () => {
      root = mkdtempSync(join(tmpdir(), "corten-link-"));
      await open();
      await client.leases.create({ id: "test" });
    });
    afterEach(async () => {
      await daemon.close();
      rmSync(root, { recursive: true, force: true });
    });
    const names = async () => {
      const found: string[] = [];
      for await (const { info } of client.snapshots.list({ snapshotter }))
        found.push(...info.map(({ name, parent }) => `${name} on ${parent}`));
      return found.sort();
    };
    const remove = (key: string) => codeOf(client.snapshots.remove({ snapshotter, key }));
    /** Directories of snapshots on disk. */
    const stored = async () => {
      await client.snapshots.cleanup({ snapshotter });
      return readdirSync(join(root, `lib/io.containerd.snapshotter.v1.${snapshotter}/snapshots`)).length;
    };
    const collect = async () => {
      await client.leases.create({ id: "collect" });
      await client.leases.delete({ id: "collect", sync: true });
    };
    const make = async () => {
      await layer(client, snapshotter, "a");
      await layer(client, snapshotter, "b", "a");
      expect(await link(client, snapshotter, "a", "chain-a")).toBe("already_exists");
      expect(await link(client, snapshotter, "b", "chain-b", "chain-a")).toBe("already_exists");
    };

    test("has its own parent's name, the same content, and can be built on", async () => {
      await make();
      expect(await names()).toEqual(["a on ", "b on a", "chain-a on ", "chain-b on chain-a"]);
      expect(await look(client, snapshotter, "chain-b")).toEqual(["a", "b"]);
      expect(await stored()).toBe(2);
      await layer(client, snapshotter, "c", "chain-b");
      expect(await look(client, snapshotter, "c")).toEqual(["a", "b", "c"]);
      const usage = await client.snapshots.usage({ snapshotter, key: "chain-b" });
      expect(usage).toEqual(await client.snapshots.usage({ snapshotter, key: "b" }));
    });

    test("takes the name of the snapshot.ref label where there is one, and does not keep the asking label", async () => {
      await layer(client, snapshotter, "a");
      const labels = { "corten.snapshot.from": "a", "containerd.io/snapshot.ref": "chain-a", x: "y" };
      const asked = client.snapshots.prepare({ snapshotter, key: "extract-1 chain-a", labels });
      expect(await codeOf(asked)).toBe("already_exists");
      const { info } = await client.snapshots.stat({ snapshotter, key: "chain-a" });
      expect(info?.labels).toEqual({ "containerd.io/snapshot.ref": "chain-a", x: "y" });
      expect(await names()).toEqual(["a on ", "chain-a on "]);
    });

    test("is refused on another parent, from a writable snapshot, and from what is not there", async () => {
      await layer(client, snapshotter, "a");
      await layer(client, snapshotter, "b", "a");
      await layer(client, snapshotter, "other");
      await client.snapshots.prepare({ snapshotter, key: "active", parent: "a" });
      expect(await link(client, snapshotter, "b", "x")).toBe("failed_precondition");
      expect(await link(client, snapshotter, "b", "x", "other")).toBe("failed_precondition");
      expect(await link(client, snapshotter, "a", "x", "other")).toBe("failed_precondition");
      expect(await link(client, snapshotter, "active", "x", "a")).toBe("invalid_argument");
      expect(await link(client, snapshotter, "none", "x")).toBe("not_found");
      expect(await link(client, snapshotter, "b", "x", "none")).toBe("not_found");
      expect(await names()).toEqual(["a on ", "active on a", "b on a", "other on "]);
    });

    test("leaves a name alone that is taken", async () => {
      await layer(client, snapshotter, "a");
      await layer(client, snapshotter, "taken");
      expect(await link(client, snapshotter, "a", "taken")).toBe("already_exists");
      expect(await look(client, snapshotter, "taken")).toEqual(["taken"]);
    });

    test("keeps the data until the last name goes", async () => {
      await make();
      expect(await remove("chain-a")).toBe("failed_precondition");
      expect(await remove("b")).toBe("none");
      expect(await remove("a")).toBe("none");
      expect(await look(client, snapshotter, "chain-b")).toEqual(["a", "b"]);
      expect(await stored()).toBe(2);
      expect(await remove("chain-b")).toBe("none");
      expect(await stored()).toBe(1);
      expect(await remove("chain-a")).toBe("none");
      expect(await stored()).toBe(0);
    });

    test("can hold what was made under the first name, on the first name of the parent", async () => {
      await layer(client, snapshotter, "a");
      await layer(client, snapshotter, "b", "a");
      expect(await link(client, snapshotter, "b", "chain-b", "a")).toBe("already_exists");
      expect(await remove("b")).toBe("none");
      expect(await remove("a")).toBe("failed_precondition");
      expect(await look(client, snapshotter, "chain-b")).toEqual(["a", "b"]);
    });

    test("is held by a lease of its own, and the collector takes the data with the last name", async () => {
      await layer(client, snapshotter, "a");
      await layer(client, snapshotter, "b", "a");
      await client.leases.create({ id: "second" });
      const second = client.with({ lease: "second" });
      expect(await link(second, snapshotter, "a", "chain-a")).toBe("already_exists");
      expect(await link(second, snapshotter, "b", "chain-b", "chain-a")).toBe("already_exists");
      await client.leases.delete({ id: "test", sync: true });
      expect(await names()).toEqual(["chain-a on ", "chain-b on chain-a"]);
      client = second;
      expect(await look(client, snapshotter, "chain-b")).toEqual(["a", "b"]);
      expect(await stored()).toBe(2);
      await client.leases.delete({ id: "second", sync: true });
      client = client.with({ lease: "test" });
      await client.leases.create({ id: "test" });
      expect(await names()).toEqual([]);
      expect(await stored()).toBe(0);
    });

    test("is there after a restart, which repairs nothing", async () => {
      await make();
      await daemon.close();
      await open();
      await collect();
      expect(await names()).toEqual(["a on ", "b on a", "chain-a on ", "chain-b on chain-a"]);
      expect(await remove("b")).toBe("none");
      expect(await look(client, snapshotter, "chain-b")).toEqual(["a", "b"]);
    });

    test("is made once, by whoever of many asks first, while others are removed", async () => {
      await make();
      const all = await Promise.all(
        Array.from({ length: 20 }, (_, at) => [
          link(client, snapshotter, "b", `n${at % 5}`, at % 2 === 0 ? "a" : "chain-a"),
          at === 7 ? remove("chain-b") : Promise.resolve("already_exists"),
        ]).flat(),
      );
      expect(all.filter((code) => code !== "already_exists")).toEqual(["none"]);
      expect((await names()).filter((name) => name.startsWith("n"))).toHaveLength(5);
      expect(await look(client, snapshotter, "n3")).toEqual(["a", "b"]);
      expect(await stored()).toBe(2);
    });
  });
}

describe("the real ctr on linked snapshots", () => {
  let containerd: TestContainerd | undefined;
  afterAll(async () => containerd?.[Symbol.asyncDispose]());

  withCtr("lists both names, and removes one without the other, after kill -9 as well", async () => {
    containerd = await startContainerd();
    const client = (await containerd.client()).with({ lease: "link" });
    await client.leases.create({ id: "link" });
    await layer(client, "overlayfs", "one");
    expect(await link(client, "overlayfs", "one", "two")).toBe("already_exists");
    const listed = async () =>
      (await containerd!.ctr("snapshots", "ls")).stdout
        .split("\n")
        .slice(1)
        .map((line) => line.trim().replace(/ +/g, " "))
        .filter((line) => line !== "");
    expect(await listed()).toEqual(["one Committed", "two Committed"]);
    await containerd.restart();
    expect((await containerd.ctr("snapshots", "rm", "one")).code).toBe(0);
    expect(await listed()).toEqual(["two Committed"]);
    const view = await containerd.ctr("snapshots", "prepare", "--target", "/nowhere", "on-two", "two");
    expect(view).toMatchObject({ code: 0 });
    const after = await containerd.client();
    const stat = async (key: string) => {
      try {
        return (await after.snapshots.stat({ snapshotter: "overlayfs", key })).info?.parent;
      } catch (error) {
        if (isCode(error, "not_found")) return "none";
        throw error;
      }
    };
    expect(await stat("on-two")).toBe("two");
    expect(await stat("one")).toBe("none");
    await after.snapshots.remove({ snapshotter: "overlayfs", key: "on-two" });
    await after.leases.delete({ id: "link" });
  });
});
