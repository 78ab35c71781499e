import { expect, test } from "bun:test";
import { collectGarbage, type GcMetadata } from "./gc.ts";

const now = new Date("2026-01-02T00:00:00Z");
const past = "2026-01-01T00:00:00Z";
const future = "2026-01-03T00:00:00Z";
const ns = "default";

function world(change: Partial<GcMetadata>): GcMetadata {
  return { now, leases: [], images: [], containers: [], contents: [], snapshots: [], ingests: [], ...change };
}
const blob = (digest: string, labels: Record<string, string> = {}, namespace = ns) => ({
  namespace,
  digest,
  labels,
});
const snapshot = (name: string, parent = "", labels: Record<string, string> = {}) => ({
  namespace: ns,
  snapshotter: "overlayfs",
  name,
  parent,
  labels,
});
const lease = (
  id: string,
  resources: Array<{ type: string; id: string }>,
  labels: Record<string, string> = {},
) => ({ namespace: ns, id, labels, resources });
const digests = (metadata: GcMetadata) => collectGarbage(metadata).contents.map(({ digest }) => digest);
const names = (metadata: GcMetadata) => collectGarbage(metadata).snapshots.map(({ name }) => name);

test("an image holds its manifest, and through labels all that belongs to it", () => {
  const metadata = world({
    images: [{ namespace: ns, name: "img", target: "index", labels: {} }],
    contents: [
      blob("index", { "containerd.io/gc.ref.content.m.0": "manifest" }),
      blob("manifest", {
        "containerd.io/gc.ref.content.config": "config",
        "containerd.io/gc.ref.content.l.0": "layer",
        "containerd.io/gc.ref.content/x": "extra",
      }),
      blob("config", { "containerd.io/gc.ref.snapshot.overlayfs": "chain2" }),
      blob("layer"),
      blob("extra"),
      blob("stray", { "containerd.io/gc.ref.content.l.0": "only-of-stray" }),
      blob("only-of-stray"),
    ],
    snapshots: [snapshot("chain1"), snapshot("chain2", "chain1"), snapshot("other")],
  });
  expect(digests(metadata)).toEqual(["stray", "only-of-stray"]);
  expect(names(metadata)).toEqual(["other"]);
});

test("labels that only look like references hold nothing", () => {
  const metadata = world({
    contents: [
      blob("root", { "containerd.io/gc.root": "x", "containerd.io/gc.ref.contentious": "a" }),
      blob("a"),
    ],
  });
  expect(digests(metadata)).toEqual(["a"]);
});

test("a container holds its snapshot, the snapshot its parents", () => {
  const metadata = world({
    containers: [
      { namespace: ns, id: "c", snapshotter: "overlayfs", snapshotKey: "active", labels: {} },
      {
        namespace: ns,
        id: "d",
        snapshotter: "",
        snapshotKey: "",
        labels: { "containerd.io/gc.ref.content.spec": "kept" },
      },
    ],
    contents: [blob("kept")],
    snapshots: [snapshot("base"), snapshot("active", "base"), snapshot("stale", "base")],
  });
  expect(names(metadata)).toEqual(["stale"]);
  expect(digests(metadata)).toEqual([]);
});

test("snapshots of another snapshotter with the same name are other snapshots", () => {
  const metadata = world({
    containers: [{ namespace: ns, id: "c", snapshotter: "native", snapshotKey: "k", labels: {} }],
    snapshots: [snapshot("k")],
  });
  expect(names(metadata)).toEqual(["k"]);
});

test("garbage snapshots come children first", () => {
  const metadata = world({
    snapshots: [snapshot("a"), snapshot("b", "a"), snapshot("c", "b"), snapshot("x"), snapshot("d", "c")],
  });
  const order = names(metadata);
  expect(order.filter((name) => name !== "x")).toEqual(["d", "c", "b", "a"]);
});

test("a lease holds its resources until it expires, and is garbage itself then", () => {
  const resources = [
    { type: "content", id: "blob" },
    { type: "snapshots/overlayfs", id: "snap" },
    { type: "ingests", id: "ref" },
  ];
  const rest = {
    contents: [blob("blob")],
    snapshots: [snapshot("snap")],
    ingests: [{ namespace: ns, ref: "ref" }],
  };
  const held = world({ leases: [lease("l", resources, { "containerd.io/gc.expire": future })], ...rest });
  expect(collectGarbage(held)).toEqual({ leases: [], images: [], contents: [], snapshots: [], ingests: [] });
  const expired = world({ leases: [lease("l", resources, { "containerd.io/gc.expire": past })], ...rest });
  expect(collectGarbage(expired)).toEqual({
    leases: [{ namespace: ns, id: "l" }],
    images: [],
    contents: [{ namespace: ns, digest: "blob" }],
    snapshots: [{ namespace: ns, snapshotter: "overlayfs", name: "snap" }],
    ingests: [{ namespace: ns, ref: "ref" }],
  });
});

test("a lease without an end, or with one that cannot be read, holds", () => {
  for (const labels of [{}, { "containerd.io/gc.expire": "tomorrow" }])
    expect(
      digests(world({ leases: [lease("l", [{ type: "content", id: "b" }], labels)], contents: [blob("b")] })),
    ).toEqual([]);
});

test("a flat lease holds what it names but not what that refers to; parents stay", () => {
  const metadata = world({
    leases: [
      lease(
        "l",
        [
          { type: "content", id: "top" },
          { type: "snapshots/overlayfs", id: "child" },
        ],
        { "containerd.io/gc.flat": "true" },
      ),
    ],
    contents: [
      blob("top", { "containerd.io/gc.ref.content.0": "below" }),
      blob("below"),
      blob("of-snapshot"),
    ],
    snapshots: [
      snapshot("parent"),
      snapshot("child", "parent", { "containerd.io/gc.ref.content.x": "of-snapshot" }),
    ],
  });
  expect(digests(metadata)).toEqual(["below", "of-snapshot"]);
  expect(names(metadata)).toEqual([]);
});

test("what is held flat and otherwise is followed", () => {
  const metadata = world({
    leases: [lease("l", [{ type: "content", id: "top" }], { "containerd.io/gc.flat": "" })],
    images: [{ namespace: ns, name: "i", target: "top", labels: {} }],
    contents: [blob("top", { "containerd.io/gc.ref.content.0": "below" }), blob("below")],
  });
  expect(digests(metadata)).toEqual([]);
});

test("an expired image goes with its content", () => {
  const metadata = world({
    images: [
      { namespace: ns, name: "old", target: "b", labels: { "containerd.io/gc.expire": past } },
      { namespace: ns, name: "new", target: "c", labels: { "containerd.io/gc.expire": future } },
    ],
    contents: [blob("b"), blob("c")],
  });
  expect(collectGarbage(metadata)).toMatchObject({
    images: [{ namespace: ns, name: "old" }],
    contents: [{ namespace: ns, digest: "b" }],
  });
});

test("an ingest holds its expected digest until it expires", () => {
  const ingest = (expireAt: string) => ({
    namespace: ns,
    ref: "r",
    expected: "blob",
    expireAt: new Date(expireAt),
  });
  expect(digests(world({ ingests: [ingest(future)], contents: [blob("blob")] }))).toEqual([]);
  expect(digests(world({ ingests: [ingest(past)], contents: [blob("blob")] }))).toEqual(["blob"]);
});

test("nothing is held across namespaces", () => {
  const metadata = world({
    images: [{ namespace: "other", name: "i", target: "b", labels: {} }],
    contents: [blob("b"), blob("b", {}, "other")],
  });
  expect(collectGarbage(metadata).contents).toEqual([{ namespace: ns, digest: "b" }]);
});

test("references in a circle and to what is missing end", () => {
  const metadata = world({
    images: [{ namespace: ns, name: "i", target: "a", labels: {} }],
    contents: [
      blob("a", { "containerd.io/gc.ref.content.0": "b", "containerd.io/gc.ref.content.1": "gone" }),
      blob("b", { "containerd.io/gc.ref.content.0": "a" }),
    ],
  });
  expect(digests(metadata)).toEqual([]);
});
