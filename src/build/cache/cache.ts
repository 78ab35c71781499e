import { createHash } from "node:crypto";
import { join } from "node:path";
import { KeyedMutex } from "../../base/async.ts";
import { Cleanup } from "../../base/cleanup.ts";
import { Database, type Row } from "../../base/database.ts";
import { internal, isCode } from "../../base/errors.ts";
import type { ContainerdClient } from "../../containerd/client/index.ts";
import type { Digest } from "../../oci/digest.ts";
import type { LayerMemory } from "../export/index.ts";
import type { BuildServices, CacheMounts, Layer } from "../types.ts";
import { chooseForRemoval } from "./choose.ts";
import { newId } from "./ids.ts";
import { Layers, layerOf } from "./layers.ts";
import { MountDirectories } from "./mounts.ts";
import { diskSpace } from "./policy.ts";
import { repair, snapshotParents } from "./repair.ts";
import { migrations } from "./schema.ts";
import type {
  NewRecord,
  PruneOptions,
  PruneResult,
  RecordType,
  StoredResult,
  UsageRecord,
  Uses,
} from "./types.ts";
import { UseCounts } from "./uses.ts";

type CacheServices = Pick<BuildServices, "client" | "snapshotter" | "root">;

/** What builds remember: results by key, and the directories of RUN --mount=type=cache. */
export class Cache implements LayerMemory, CacheMounts {
  readonly #db: Database;
  readonly #client: ContainerdClient;
  readonly #snapshotter: string;
  readonly #root: string;
  readonly #layers: Layers;
  readonly #mounts: MountDirectories;
  readonly #counts: UseCounts;
  /** Rows of layers and their leases change together. */
  readonly #mutex = new KeyedMutex();
  #closed = false;

  private constructor(db: Database, services: CacheServices) {
    this.#db = db;
    this.#client = services.client;
    this.#snapshotter = services.snapshotter;
    this.#root = services.root;
    this.#layers = new Layers(db, services.client, services.snapshotter, identity(db));
    this.#mounts = new MountDirectories(db, services.root);
    this.#counts = new UseCounts(db);
  }

  /** Opens `<root>/cache.db` and makes it agree with what containerd has. */
  static async open(services: CacheServices): Promise<Cache> {
    await using undo = new Cleanup();
    const db = new Database(join(services.root, "cache.db"), migrations);
    undo.add("close build cache", () => db[Symbol.dispose]());
    const cache = new Cache(db, services);
    await repair(db, cache.#layers, services.client, services.snapshotter);
    undo.release();
    return cache;
  }

  /** The canonical key that a key leads to. */
  resolve(key: Digest): Digest | undefined {
    const row =
      this.#db.get("SELECT key FROM aliases WHERE alias = ?", key) ??
      this.#db.get("SELECT key FROM records WHERE key = ?", key);
    return row && String(row["key"]);
  }

  has(key: Digest): boolean {
    return this.#db.get("SELECT 1 FROM records WHERE key = ?", key) !== undefined;
  }

  /** The result with this canonical key, if its snapshot is still there; the build uses it from now on. */
  async find(key: Digest, uses: Uses): Promise<StoredResult | undefined> {
    const stored = this.peek(key, uses);
    const top = stored?.layers.at(-1);
    if (!stored || !top) return stored;
    try {
      await this.#client.snapshots.stat({ snapshotter: this.#snapshotter, key: top.snapshot });
      return stored;
    } catch (error) {
      if (!isCode(error, "not_found")) throw error;
      // Somebody removed it by force.
      await this.#drop([stored.id], true);
      return undefined;
    }
  }

  /** The same without a look at containerd. */
  peek(key: Digest, uses: Uses): StoredResult | undefined {
    const row = this.#db.get("SELECT * FROM records WHERE key = ?", key);
    if (!row) return undefined;
    const layers = this.#layers.chain(String(row["top"]));
    if (!layers) return undefined;
    const id = String(row["id"]);
    uses.add(id);
    return { id, key, layers, createdAt: new Date(Number(row["created_at"])) };
  }

  /** Remembers a result: its layers are held by leases of the cache from then on. The first one of a key stays. */
  put(record: NewRecord, uses: Uses): Promise<StoredResult> {
    return this.#mutex.run("layers", async () => {
      const { key, layers } = record;
      if (!this.has(key)) {
        await this.#layers.add(layers);
        this.#db.transaction(() => this.#insert(record));
      }
      for (const alias of record.aliases) this.alias(alias, key);
      const stored = this.peek(key, uses);
      if (!stored) throw internal(`build cache lost record ${key}`);
      return stored;
    });
  }

  #insert({ key, layers, below, parents, type, description }: NewRecord): void {
    const id = newId();
    this.#db.run(
      "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, NULL, 0)",
      key,
      id,
      layers.at(-1)?.snapshot ?? "",
      layers[below - 1]?.snapshot ?? "",
      type,
      description,
      Date.now(),
    );
    for (const [position, parent] of parents.entries())
      this.#db.run(
        "INSERT INTO parents SELECT ?, ?, id FROM records WHERE key = ? AND id <> ?",
        id,
        position,
        parent,
        id,
      );
  }

  /** Lets `from` lead to the record `key` from now on. */
  alias(from: Digest, key: Digest): void {
    if (from === key || this.#aliasOf(from) === key) return;
    this.#db.run("INSERT OR REPLACE INTO aliases SELECT ?, key FROM records WHERE key = ?", from, key);
  }

  #aliasOf(from: Digest): string | undefined {
    const row = this.#db.get("SELECT key FROM aliases WHERE alias = ?", from);
    return row && String(row["key"]);
  }

  /** Keys that lead to a record. */
  aliasesOf(key: Digest): Digest[] {
    return this.#db
      .all("SELECT alias FROM aliases WHERE key = ? ORDER BY alias", key)
      .map((row) => String(row["alias"]));
  }

  /** What a build relies on, until it is disposed of; only what is counted is a use. */
  uses(counted = true): Uses {
    return this.#counts.open(counted);
  }

  async recall(snapshot: string): Promise<Pick<Layer, "diffId" | "blob"> | undefined> {
    const layer = this.#layers.get(snapshot);
    if (!layer) return undefined;
    const { snapshot: _, blob, ...known } = layer;
    if (!blob) return known;
    try {
      await this.#client.content.info({ digest: blob.digest });
      return { ...known, blob };
    } catch (error) {
      if (!isCode(error, "not_found")) throw error;
      this.#layers.forgetBlob(snapshot);
      return known;
    }
  }

  remember(layer: Layer): Promise<void> {
    return this.#mutex.run("layers", async () => {
      await this.#layers.learn(layer);
    });
  }

  mount(id: string, options: Parameters<CacheMounts["mount"]>[1]): ReturnType<CacheMounts["mount"]> {
    return this.#mounts.mount(id, options);
  }

  /** Every record, as `docker buildx du` shows them. */
  async usage(): Promise<UsageRecord[]> {
    const parents = await snapshotParents(this.#client, this.#snapshotter);
    const used = await this.#usedByImages(parents);
    const mounts = await this.#mounts.usage();
    // From here on nothing is awaited: one picture.
    const layers = new Map<string, Row>();
    for (const row of this.#db.all("SELECT * FROM layers")) layers.set(String(row["snapshot"]), row);
    const chains = chainNames(layers);
    const parentsOf = new Map<string, string[]>();
    for (const row of this.#db.all(
      "SELECT record, parent FROM parents WHERE parent IN (SELECT id FROM records) ORDER BY position",
    )) {
      const list = parentsOf.get(String(row["record"])) ?? [];
      list.push(String(row["parent"]));
      parentsOf.set(String(row["record"]), list);
    }
    const records = this.#db.all("SELECT * FROM records ORDER BY created_at").map((row): UsageRecord => {
      const id = String(row["id"]);
      let size = 0;
      for (let at = String(row["top"]); at !== row["base"] && at !== ""; ) {
        const layer = layers.get(at);
        if (!layer) break;
        size += Number(layer["size"]) + (layerOf(layer).blob?.size ?? 0);
        at = String(layer["parent"]);
      }
      const top = String(row["top"]);
      const usedAt = row["last_used_at"];
      return {
        id,
        parents: parentsOf.get(id) ?? [],
        type: String(row["type"]) as RecordType,
        description: String(row["description"]),
        mutable: false,
        inUse: this.#counts.has(id),
        shared: used.has(top) || used.has(chains.get(top) ?? ""),
        size,
        createdAt: new Date(Number(row["created_at"])),
        lastUsedAt: usedAt === null || usedAt === undefined ? undefined : new Date(Number(usedAt)),
        usageCount: Number(row["usage_count"]),
      };
    });
    spreadUse(records);
    return [...records, ...mounts];
  }

  /** Names of the snapshots that images' configs refer to, and of all below. */
  async #usedByImages(parents: ReadonlyMap<string, string>): Promise<Set<string>> {
    const label = `containerd.io/gc.ref.snapshot.${this.#snapshotter}`;
    const used = new Set<string>();
    const filters = [`labels.${JSON.stringify(label)}`];
    for await (const { info } of this.#client.content.list({ filters }))
      for (const { labels } of info)
        for (let at = labels[label]; at && !used.has(at); at = parents.get(at)) used.add(at);
    return used;
  }

  /** Removes what the options say; the space is free when this resolves. */
  prune(options: PruneOptions): Promise<PruneResult> {
    return this.#mutex.run("prune", async () => {
      const result: PruneResult = { ids: [], spaceReclaimed: 0 };
      if (this.#closed) return result;
      const { free } = diskSpace(this.#root);
      const chosen = chooseForRemoval(await this.usage(), options, free);
      if (chosen.length === 0 || options.signal?.aborted) return result;
      const mounts = chosen.filter((record) => record.type === "exec.cachemount");
      const gone = new Set(await this.#drop(chosen.map((record) => record.id)));
      for (const { id } of mounts) if (this.#mounts.remove(id)) gone.add(id);
      await this.#mounts.settled;
      for (const record of chosen) {
        if (!gone.has(record.id)) continue;
        result.ids.push(record.id);
        result.spaceReclaimed += record.size;
        options.onRemoved?.(record);
      }
      return result;
    });
  }

  /** Trims the cache by rules, one after the other. */
  async collect(policy: readonly PruneOptions[]): Promise<void> {
    for (const options of policy) await this.prune(options);
  }

  /** Forgets records that nobody uses, and the layers that only they had. Returns those that are gone. */
  #drop(ids: readonly string[], broken = false): Promise<string[]> {
    return this.#mutex.run("layers", async () => {
      const { gone, snapshots } = this.#db.transaction(() => {
        // A build may have come to use one since it was chosen, or made something of it.
        const gone = ids.filter(
          (id) =>
            (broken || !this.#counts.has(id)) && this.#db.run("DELETE FROM records WHERE id = ?", id) > 0,
        );
        return { gone, snapshots: this.#layers.dropUnneeded() };
      });
      await this.#layers.release(snapshots);
      return gone;
    });
  }

  /** Builds must have ended. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#mutex.run("prune", () =>
      this.#mutex.run("layers", async () => {
        await this.#mounts.settled;
        this.#db[Symbol.dispose]();
      }),
    );
  }
}

/** Names this cache in the labels of its leases, for a containerd may serve several. */
function identity(db: Database): string {
  const known = db.get("SELECT value FROM properties WHERE name = 'id'")?.["value"];
  if (known !== undefined && known !== null) return String(known);
  const id = newId();
  db.run("INSERT INTO properties VALUES ('id', ?)", id);
  return id;
}

/** Snapshot → the name that an image's snapshot of the same layers has (image-spec, config.md#layer-chainid). */
function chainNames(layers: ReadonlyMap<string, Row>): Map<string, string> {
  const names = new Map<string, string>();
  const nameOf = (snapshot: string): string | undefined => {
    const known = names.get(snapshot);
    if (known !== undefined) return known;
    const row = layers.get(snapshot);
    const diffId = row?.["diff_id"];
    if (!row || typeof diffId !== "string") return undefined;
    const parent = String(row["parent"]);
    const below = parent === "" ? "" : nameOf(parent);
    if (below === undefined) return undefined;
    const name =
      below === "" ? diffId : `sha256:${createHash("sha256").update(`${below} ${diffId}`).digest("hex")}`;
    names.set(snapshot, name);
    return name;
  };
  for (const snapshot of layers.keys()) nameOf(snapshot);
  return names;
}

/** What is used needs what it is built on. */
function spreadUse(records: readonly UsageRecord[]): void {
  const byId = new Map(records.map((record) => [record.id, record]));
  const visit = (record: UsageRecord) => {
    for (const id of record.parents) {
      const parent = byId.get(id);
      if (!parent || parent.inUse) continue;
      parent.inUse = true;
      visit(parent);
    }
  };
  for (const record of records.filter((one) => one.inUse)) visit(record);
}
