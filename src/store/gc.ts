/**
 * What can be deleted: containerd's rules (docs/garbage-collection.md) as a pure function over its metadata.
 * Images, containers, leases and `gc.root` labels hold; `gc.ref.*` labels, snapshot parents and an ingest's
 * expected digest pass the hold on. Nothing crosses from one namespace into another.
 */
import type { Digest } from "../oci/digest.ts";

/** Everything the collector has to know, read by the caller in one transaction. */
export interface GcMetadata {
  now: Date;
  leases: Array<{
    namespace: string;
    id: string;
    labels: Labels;
    /** `type` as in the leases API: `content`, `ingests`, `images`, `snapshots/<snapshotter>`. */
    resources: Array<{ type: string; id: string }>;
  }>;
  images: Array<{ namespace: string; name: string; target: Digest; labels: Labels }>;
  containers: Array<{
    namespace: string;
    id: string;
    snapshotter: string;
    snapshotKey: string;
    labels: Labels;
  }>;
  contents: Array<{ namespace: string; digest: Digest; labels: Labels }>;
  snapshots: Array<{ namespace: string; snapshotter: string; name: string; parent: string; labels: Labels }>;
  ingests: Array<{ namespace: string; ref: string; expected?: Digest; expireAt?: Date }>;
}

export type Labels = Readonly<Record<string, string>>;

/** What nothing holds any more, in an order in which it can be deleted (children before parents). */
export interface Garbage {
  leases: Array<{ namespace: string; id: string }>;
  images: Array<{ namespace: string; name: string }>;
  contents: Array<{ namespace: string; digest: Digest }>;
  snapshots: Array<{ namespace: string; snapshotter: string; name: string }>;
  ingests: Array<{ namespace: string; ref: string }>;
}

const rootLabel = "containerd.io/gc.root";
const expireLabel = "containerd.io/gc.expire";
const flatLabel = "containerd.io/gc.flat";
const contentRef = "containerd.io/gc.ref.content";
const imageRef = "containerd.io/gc.ref.image";
const snapshotRef = "containerd.io/gc.ref.snapshot.";

/** A thing that can hold or be held. `flat`: its own references do not count (a lease said so). */
export interface GcNode {
  type: "content" | "snapshot" | "image" | "ingest" | "lease";
  namespace: string;
  /** Empty but for snapshots. */
  snapshotter: string;
  key: string;
  flat: boolean;
}

const idOf = ({ type, namespace, snapshotter, key }: Omit<GcNode, "flat">) =>
  JSON.stringify([type, namespace, snapshotter, key]);

const node = (
  type: GcNode["type"],
  namespace: string,
  key: string,
  { snapshotter = "", flat = false }: { snapshotter?: string; flat?: boolean } = {},
): GcNode => ({ type, namespace, snapshotter, key, flat });

/** What labels refer to: `gc.ref.content[.|/…]`, `gc.ref.image[.|/…]`, `gc.ref.snapshot.<snapshotter>[/…]`. */
export function labelReferences(namespace: string, labels: Labels): GcNode[] {
  const found: GcNode[] = [];
  const named = (label: string, prefix: string) =>
    label.startsWith(prefix) && (label.length === prefix.length || /[./]/.test(label[prefix.length]!));
  for (const [label, value] of Object.entries(labels)) {
    if (named(label, contentRef)) found.push(node("content", namespace, value));
    else if (named(label, imageRef)) found.push(node("image", namespace, value));
    else if (label.startsWith(snapshotRef)) {
      const snapshotter = label.slice(snapshotRef.length).split("/", 1)[0]!;
      found.push(node("snapshot", namespace, value, { snapshotter }));
    }
  }
  return found;
}

/** Everything reachable from `roots`; a node that was only reached flat is still followed when reached again. */
export function mark(roots: Iterable<GcNode>, references: (node: GcNode) => Iterable<GcNode>): Set<string> {
  const marked = new Set<string>();
  const followed = new Set<string>();
  const queue = [...roots];
  for (let next = queue.pop(); next; next = queue.pop()) {
    const id = idOf(next);
    marked.add(id);
    const how = `${next.flat ? "flat" : "full"} ${id}`;
    if (followed.has(how) || followed.has(`full ${id}`)) continue;
    followed.add(how);
    for (const reference of references(next)) queue.push(reference);
  }
  return marked;
}

/** True when the label names a time that is past; an unreadable one never expires. */
function isExpired(labels: Labels, now: Date): boolean {
  const text = labels[expireLabel];
  if (text === undefined) return false;
  const time = Date.parse(text);
  return !Number.isNaN(time) && time < now.getTime();
}

function* rootsOf(metadata: GcMetadata): Generator<GcNode> {
  const { now } = metadata;
  for (const { namespace, id, labels, resources } of metadata.leases) {
    if (isExpired(labels, now)) continue;
    yield node("lease", namespace, id);
    const flat = flatLabel in labels;
    for (const resource of resources) {
      const [type, snapshotter = ""] = resource.type.split("/", 2) as [string, string?];
      if (type === "content") yield node("content", namespace, resource.id, { flat });
      else if (type === "snapshots") yield node("snapshot", namespace, resource.id, { snapshotter, flat });
      else if (type === "ingests") yield node("ingest", namespace, resource.id, { flat });
      else if (type === "images") yield node("image", namespace, resource.id, { flat });
    }
  }
  for (const { namespace, name, labels } of metadata.images)
    if (!isExpired(labels, now)) yield node("image", namespace, name);
  for (const { namespace, snapshotter, snapshotKey, labels } of metadata.containers) {
    if (snapshotter && snapshotKey) yield node("snapshot", namespace, snapshotKey, { snapshotter });
    yield* labelReferences(namespace, labels);
  }
  for (const { namespace, digest, labels } of metadata.contents)
    if (rootLabel in labels) yield node("content", namespace, digest);
  for (const { namespace, snapshotter, name, labels } of metadata.snapshots)
    if (rootLabel in labels) yield node("snapshot", namespace, name, { snapshotter });
  for (const { namespace, ref, expireAt } of metadata.ingests)
    if (expireAt && expireAt >= now) yield node("ingest", namespace, ref);
}

/** Who holds whom, by node. A flat node passes on only what it cannot be without: a snapshot its parent. */
function edgesOf(metadata: GcMetadata): (node: GcNode) => Iterable<GcNode> {
  const always = new Map<string, GcNode[]>();
  const unlessFlat = new Map<string, GcNode[]>();
  for (const { namespace, digest, labels } of metadata.contents)
    unlessFlat.set(idOf(node("content", namespace, digest)), labelReferences(namespace, labels));
  for (const { namespace, snapshotter, name, parent, labels } of metadata.snapshots) {
    const id = idOf(node("snapshot", namespace, name, { snapshotter }));
    unlessFlat.set(id, labelReferences(namespace, labels));
    if (parent) always.set(id, [node("snapshot", namespace, parent, { snapshotter })]);
  }
  for (const { namespace, name, target, labels } of metadata.images)
    unlessFlat.set(idOf(node("image", namespace, name)), [
      node("content", namespace, target),
      ...labelReferences(namespace, labels),
    ]);
  for (const { namespace, ref, expected } of metadata.ingests)
    if (expected)
      unlessFlat.set(idOf(node("ingest", namespace, ref)), [node("content", namespace, expected)]);
  return (from) => {
    const id = idOf(from);
    const parents = (always.get(id) ?? []).map((parent) => ({ ...parent, flat: from.flat }));
    return from.flat ? parents : [...parents, ...(unlessFlat.get(id) ?? [])];
  };
}

/** Finds what nothing holds. The caller deletes it in the transaction in which it read the metadata. */
export function collectGarbage(metadata: GcMetadata): Garbage {
  const marked = mark(rootsOf(metadata), edgesOf(metadata));
  const unheld = (what: GcNode) => !marked.has(idOf(what));
  return {
    leases: metadata.leases
      .filter(({ namespace, id }) => unheld(node("lease", namespace, id)))
      .map(({ namespace, id }) => ({ namespace, id })),
    images: metadata.images
      .filter(({ namespace, name }) => unheld(node("image", namespace, name)))
      .map(({ namespace, name }) => ({ namespace, name })),
    contents: metadata.contents
      .filter(({ namespace, digest }) => unheld(node("content", namespace, digest)))
      .map(({ namespace, digest }) => ({ namespace, digest })),
    snapshots: childrenFirst(metadata.snapshots)
      .filter(({ namespace, snapshotter, name }) =>
        unheld(node("snapshot", namespace, name, { snapshotter })),
      )
      .map(({ namespace, snapshotter, name }) => ({ namespace, snapshotter, name })),
    ingests: metadata.ingests
      .filter(({ namespace, ref }) => unheld(node("ingest", namespace, ref)))
      .map(({ namespace, ref }) => ({ namespace, ref })),
  };
}

type Snapshots = GcMetadata["snapshots"];

/** Sorted so that every snapshot comes before its parent. */
function childrenFirst(snapshots: Snapshots): Snapshots {
  const idOfSnapshot = (namespace: string, snapshotter: string, name: string) =>
    idOf(node("snapshot", namespace, name, { snapshotter }));
  const byId = new Map(snapshots.map((s) => [idOfSnapshot(s.namespace, s.snapshotter, s.name), s]));
  const depths = new Map<string, number>();
  const depth = (start: Snapshots[number]): number => {
    const path: string[] = [];
    let id = idOfSnapshot(start.namespace, start.snapshotter, start.name);
    let current: Snapshots[number] | undefined = start;
    while (current && !depths.has(id) && path.length <= snapshots.length) {
      path.push(id);
      id = idOfSnapshot(current.namespace, current.snapshotter, current.parent);
      current = current.parent ? byId.get(id) : undefined;
    }
    let below = current ? (depths.get(id) ?? 0) : 0;
    for (const step of path.reverse()) depths.set(step, ++below);
    return below;
  };
  return snapshots
    .map((snapshot) => ({ snapshot, depth: depth(snapshot) }))
    .sort((a, b) => b.depth - a.depth)
    .map(({ snapshot }) => snapshot);
}
