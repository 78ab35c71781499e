/** What the build cache keeps in containerd: leases, blobs, sizes; pruning; agreement after others interfered. */
import { afterEach, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Database } from "../../src/base/database.ts";
import type { Cache, UsageRecord } from "../../src/build/cache/index.ts";
import { defaultPolicy } from "../../src/build/cache/index.ts";
import { migrations } from "../../src/build/cache/schema.ts";
import { digestOf } from "../../src/build/graph.ts";
import type { Layer } from "../../src/build/types.ts";
import { type ContainerdClient, chainIds, withLease, writeBlob } from "../../src/containerd/client/index.ts";
import { digestOf as digestOfBytes } from "../../src/oci/digest.ts";
import type { Descriptor } from "../../src/oci/image-spec.ts";
import { withMounts } from "../../src/sys/mount.ts";
import { openCache, openWorld, snapshotter, type World } from "../helpers/build-world.ts";

setDefaultTimeout(240_000);

let world: World;
let cache: Cache;
beforeEach(async () => {
  world = await openWorld();
  cache = await openCache(world);
});
afterEach(async () => {
  try {
    await cache.close();
  } finally {
    await world[Symbol.asyncDispose]();
  }
});
const restart = async () => {
  await cache.close();
  await world.restart();
  await world.collect();
  cache = await openCache(world);
};

/** Changes the database behind the cache's back, while it is closed. */
const inDatabase = async (sql: string, ...values: (string | number)[]) => {
  await cache.close();
  {
    using db = new Database(join(world.root, "build/cache.db"), migrations);
    db.run(sql, ...values);
  }
  cache = await openCache(world);
};

async function layer(client: ContainerdClient, name: string, parent = "", size = 10_000): Promise<Layer> {
  const { mounts } = await client.snapshots.prepare({ snapshotter, key: `making-${name}`, parent });
  await withMounts(mounts, (directory) => writeFileSync(join(directory, name), Buffer.alloc(size, 1)));
  await client.snapshots.commit({ snapshotter, key: `making-${name}`, name });
  return { snapshot: name };
}

/** Records `names[0]`, and each next one on the one before. */
async function record(...names: string[]): Promise<void> {
  await withLease(world.client, async (client) => {
    const layers: Layer[] = [];
    for (const [at, name] of names.entries()) {
      layers.push(await layer(client, name, layers.at(-1)?.snapshot));
      using uses = cache.uses();
      await cache.put(
        {
          key: digestOf(name),
          aliases: [digestOf(`alias of ${name}`)],
          layers: [...layers],
          below: at,
          parents: at === 0 ? [] : [digestOf(names[at - 1])],
          description: name,
          type: "regular",
        },
        uses,
      );
    }
  });
}

const find = async (name: string) => {
  using uses = cache.uses();
  return cache.find(digestOf(name), uses);
};
const descriptions = async () => (await cache.usage()).map(({ description }) => description).sort();
const usageOf = async (name: string): Promise<UsageRecord> =>
  (await cache.usage()).find(({ description }) => description === name)!;

async function blob(client: ContainerdClient, text: string): Promise<Descriptor> {
  const data = new TextEncoder().encode(text);
  const digest = digestOfBytes(data);
  await writeBlob(client, { ref: digest, digest, size: data.byteLength }, async function* () {
    yield data;
  });
  return { mediaType: "application/vnd.oci.image.layer.v1.tar", digest, size: data.byteLength };
}
const blobs = async () => {
  const found: string[] = [];
  for await (const { info } of world.client.content.list({})) found.push(...info.map(({ digest }) => digest));
  return found;
};

test("a record holds its chain by leases, is found by its aliases, and survives a restart", async () => {
  await record("a", "b");
  await restart();
  expect(await world.snapshots()).toEqual(["a", "b"]);
  expect(cache.resolve(digestOf("alias of b"))).toBe(digestOf("b"));
  expect(cache.resolve(digestOf("b"))).toBe(digestOf("b"));
  expect(cache.resolve(digestOf("c"))).toBeUndefined();
  expect((await find("b"))?.layers).toEqual([{ snapshot: "a" }, { snapshot: "b" }]);
  expect(await world.leases()).toHaveLength(2);
});

test("usage tells sizes of what each adds, parents, times and counts", async () => {
  await record("a", "b");
  await find("b");
  const [a, b] = [await usageOf("a"), await usageOf("b")];
  expect(a.parents).toEqual([]);
  expect(b.parents).toEqual([a.id]);
  for (const { size } of [a, b]) {
    expect(size).toBeGreaterThan(10_000);
    expect(size).toBeLessThan(40_000);
  }
  expect([a.usageCount, b.usageCount]).toEqual([1, 2]);
  expect(b.lastUsedAt!.getTime()).toBeGreaterThanOrEqual(b.createdAt.getTime());
  expect(b).toMatchObject({ type: "regular", mutable: false, inUse: false, shared: false });
  expect(b.id).toMatch(/^[0-9a-z]{25}$/);
});

test("what a build uses is in use with all it is built on, and is not pruned", async () => {
  await record("a", "b", "c");
  {
    using uses = cache.uses();
    await cache.find(digestOf("b"), uses);
    expect((await cache.usage()).filter(({ inUse }) => inUse).map(({ description }) => description)).toEqual([
      "a",
      "b",
    ]);
    expect((await cache.prune({ all: true })).ids).toHaveLength(1);
  }
  expect(await descriptions()).toEqual(["a", "b"]);
  expect((await cache.prune({ all: true })).ids).toHaveLength(2);
  expect(await world.snapshots()).toEqual([]);
});

test("what an export learns is kept with the layer, and the blob with it", async () => {
  await record("a", "b");
  const known = await withLease(world.client, async (client) => {
    const layer = { snapshot: "b", diffId: digestOf("diff of b"), blob: await blob(client, "tar of b") };
    await cache.remember(layer);
    return layer;
  });
  await restart();
  const { snapshot: _, ...learned } = known;
  expect(await cache.recall("b")).toEqual(learned);
  expect(await cache.recall("a")).toEqual({});
  expect(await cache.recall("unknown")).toBeUndefined();
  expect((await find("b"))?.layers).toEqual([{ snapshot: "a" }, known]);
  expect((await usageOf("b")).size).toBeGreaterThan((await usageOf("a")).size);
  const other = await withLease(world.client, async (client) => {
    const better = await blob(client, "tar of b, compressed");
    await cache.remember({ ...known, blob: better });
    return better;
  });
  await world.collect();
  expect(await blobs()).toEqual([other.digest]);
  await cache.prune({ all: true });
  expect(await blobs()).toEqual([]);
});

test("a blob that somebody removed is forgotten, its diff id is not", async () => {
  await record("a");
  const diffId = digestOf("diff");
  const made = await withLease(world.client, async (client) => {
    const descriptor = await blob(client, "tar of a");
    await cache.remember({ snapshot: "a", diffId, blob: descriptor });
    return descriptor;
  });
  await world.client.content.delete({ digest: made.digest });
  expect(await cache.recall("a")).toEqual({ diffId });
  await withLease(world.client, async (client) => {
    await cache.remember({ snapshot: "a", diffId, blob: await blob(client, "tar of a") });
  });
  await world.client.content.delete({ digest: made.digest });
  await restart();
  expect((await find("a"))?.layers).toEqual([{ snapshot: "a", diffId }]);
});

test("a parent's layers stay while a child needs them, whatever becomes of the parent's record", async () => {
  await record("a", "b");
  expect((await cache.prune({ filters: { description: ["a"] } })).ids).toEqual([]);
  await inDatabase("DELETE FROM records WHERE description = 'a'");
  await world.collect();
  expect(await descriptions()).toEqual(["b"]);
  expect(await world.snapshots()).toEqual(["a", "b"]);
  expect((await find("b"))?.layers.map(({ snapshot }) => snapshot)).toEqual(["a", "b"]);
  await cache.prune({ all: true });
  expect(await world.snapshots()).toEqual([]);
  expect(await world.leases()).toEqual([]);
});

test("prunes by age", async () => {
  await record("a", "b");
  await record("old");
  const day = 24 * 3_600_000;
  await inDatabase("UPDATE records SET last_used_at = ? WHERE description = 'old'", Date.now() - 3 * day);
  await inDatabase("UPDATE records SET last_used_at = ? WHERE description = 'a'", Date.now() - 3 * day);
  expect((await cache.prune({ keepDuration: 5 * day })).ids).toEqual([]);
  const pruned = await cache.prune({ filters: { until: ["48h"] } });
  expect(pruned.ids).toHaveLength(1);
  expect(pruned.spaceReclaimed).toBeGreaterThan(10_000);
  expect(await descriptions()).toEqual(["a", "b"]);
  expect(await world.snapshots()).toEqual(["a", "b"]);
});

test("prunes by size, the least used first, cache mounts as well", async () => {
  await record("a", "b");
  await record("c");
  const signal = new AbortController().signal;
  const mount = await cache.mount("npm", { sharing: "shared", signal });
  writeFileSync(join(mount.path, "file"), Buffer.alloc(200_000));
  expect((await cache.prune({ filters: { type: ["exec.cachemount"] } })).ids).toEqual([]);
  await mount.release();
  for (let at = 0; at < 3; at++) await find("c");
  const sizes = (await cache.usage()).reduce((sum, { size }) => sum + size, 0);
  const pruned: string[] = [];
  const { spaceReclaimed } = await cache.prune({
    maxUsedSpace: sizes - 1,
    onRemoved: ({ description }) => pruned.push(description),
  });
  expect(pruned).toEqual(["b"]);
  expect(spaceReclaimed).toBeGreaterThan(10_000);
  await cache.prune({ filters: { type: ["exec.cachemount"] } });
  expect(await descriptions()).toEqual(["a", "c"]);
  await cache.prune({ reservedSpace: 1 });
  expect(await descriptions()).toEqual([]);
  expect(await world.snapshots()).toEqual([]);
});

test("what an image has as well is shared, and goes only with all", async () => {
  await record("a", "b");
  const [one, two] = [digestOf("diff of a"), digestOf("diff of b")];
  const [below, above] = chainIds([one, two]) as [string, string];
  await withLease(world.client, async (client) => {
    for (const [name, diffId] of [
      ["a", one],
      ["b", two],
    ] as const)
      await cache.remember({ snapshot: name, diffId });
    // As the exporter names them: the same snapshots under an image's names.
    for (const [key, from, parent] of [
      [below, "a", ""],
      [above, "b", below],
    ] as const)
      await client.snapshots
        .prepare({ snapshotter, key, parent, labels: { "corten.snapshot.from": from } })
        .catch(() => {});
    const config = await blob(client, "config");
    const key = `containerd.io/gc.ref.snapshot.${snapshotter}`;
    await client.content.update({
      info: { digest: config.digest, labels: { [key]: below, "containerd.io/gc.root": "now" } },
      updateMask: { paths: [`labels.${key}`, "labels.containerd.io/gc.root"] },
    });
  });
  expect((await usageOf("a")).shared).toBe(true);
  expect((await usageOf("b")).shared).toBe(false);
  await cache.prune({});
  expect(await descriptions()).toEqual(["a"]);
  await cache.prune({ all: true });
  expect(await descriptions()).toEqual([]);
  expect(await world.snapshots()).toEqual([below]);
});

test("opening drops records without snapshots and leases without layers, and holds again what is not held", async () => {
  await record("a", "b");
  await record("c");
  const held = await world.leases();
  await world.client.leases.create({ id: "meanwhile" });
  for (const id of ["a", "c"])
    await world.client.leases.addResource({
      id: "meanwhile",
      resource: { id, type: `snapshots/${snapshotter}` },
    });
  for (const id of held) await world.client.leases.delete({ id });
  await world.client.snapshots.remove({ snapshotter, key: "b" });
  await cache.close();
  cache = await openCache(world);
  await world.client.leases.delete({ id: "meanwhile" });
  await world.collect();
  expect(await descriptions()).toEqual(["a", "c"]);
  expect(await world.snapshots()).toEqual(["a", "c"]);
  expect((await world.leases()).every((lease) => held.includes(lease))).toBe(true);
  const stray = `${held[0]}-stray`;
  const labels = await world.client.leases.list({});
  await world.client.leases.create({ id: stray, labels: labels.leases[0]!.labels });
  await world.client.leases.create({ id: "another's" });
  await restart();
  expect(await world.leases()).toHaveLength(3);
  expect(await world.leases()).not.toContain(stray);
});

test("the default policy keeps what is small and new", async () => {
  await record("a", "b");
  await cache.collect(defaultPolicy(world.root).filter(({ minFreeSpace }) => minFreeSpace === undefined));
  expect(await descriptions()).toEqual(["a", "b"]);
  const [mounts, old, ...caps] = defaultPolicy(world.root);
  expect(mounts).toMatchObject({ keepDuration: 48 * 3_600_000, maxUsedSpace: 512_000_000 });
  expect(old).toMatchObject({ keepDuration: 60 * 24 * 3_600_000 });
  expect(caps.map(({ all }) => all ?? false)).toEqual([false, true]);
});

test("two caches on one containerd leave each other's leases alone", async () => {
  await record("a");
  const { Cache } = await import("../../src/build/cache/index.ts");
  const other = await Cache.open({ ...world.services, root: join(world.root, "other") });
  await other.close();
  await world.collect();
  expect(await world.snapshots()).toEqual(["a"]);
  expect(await world.leases()).toHaveLength(1);
});
