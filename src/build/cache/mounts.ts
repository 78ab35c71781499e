import { mkdirSync, readdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { type Deferred, deferred, KeyedMutex } from "../../base/async.ts";
import type { Database } from "../../base/database.ts";
import { CortenError } from "../../base/errors.ts";
import { Removal } from "../../base/removal.ts";
import { diskUsage } from "../../sys/disk-usage.ts";
import type { CacheMounts } from "../types.ts";
import { newId } from "./ids.ts";
import type { UsageRecord } from "./types.ts";

type MountOptions = Parameters<CacheMounts["mount"]>[1];
type Mounted = Awaited<ReturnType<CacheMounts["mount"]>>;

const half = "new-";

/**
 * The directories of RUN --mount=type=cache, `<root>/mounts/<id>`. There may be several of one name: a step that wants its own
 * (`private`) gets another one when the first is in use, and later steps take whichever is free, the last used first.
 */
export class MountDirectories implements CacheMounts {
  readonly #db: Database;
  readonly #root: string;
  readonly #removal: Removal;
  readonly #mutex = new KeyedMutex();
  /** By id: how many use it, and whether they share it. */
  readonly #busy = new Map<string, { count: number; shared: boolean }>();
  /** By name: resolved when one of that name becomes free. */
  readonly #released = new Map<string, Deferred<void>>();

  constructor(db: Database, root: string) {
    this.#db = db;
    this.#root = join(root, "mounts");
    mkdirSync(this.#root, { recursive: true, mode: 0o700 });
    this.#removal = new Removal(join(root, "mounts-removed"));
    this.#repair();
  }

  /** What was half made, and directories or rows without the other. */
  #repair(): void {
    const there = new Set(readdirSync(this.#root));
    for (const row of this.#db.all("SELECT id FROM mounts"))
      if (!there.delete(String(row["id"]))) this.#db.run("DELETE FROM mounts WHERE id = ?", row["id"]!);
    for (const name of there) this.#removal.discard(join(this.#root, name));
  }

  async mount(name: string, options: MountOptions): Promise<Mounted> {
    for (;;) {
      throwIfAborted(options.signal);
      const wait = this.#whenReleased(name);
      const id = await this.#mutex.run(name, () => this.#take(name, options));
      if (id !== undefined) return this.#mounted(id, name);
      await orAborted(wait, options.signal);
    }
  }

  /** undefined: all are in use and the step wants to wait. */
  async #take(name: string, options: MountOptions): Promise<string | undefined> {
    throwIfAborted(options.signal);
    const ids = this.#db
      .all("SELECT id FROM mounts WHERE name = ? ORDER BY last_used_at DESC, created_at", name)
      .map((row) => String(row["id"]));
    const shared = options.sharing === "shared";
    const joined = shared ? ids.find((id) => this.#busy.get(id)?.shared) : undefined;
    if (joined !== undefined) {
      this.#busy.get(joined)!.count++;
      return joined;
    }
    let id = ids.find((one) => !this.#busy.has(one));
    if (id === undefined) {
      if (options.sharing === "locked" && ids.length > 0) return undefined;
      id = await this.#make(name, options);
    }
    this.#busy.set(id, { count: 1, shared });
    return id;
  }

  async #make(name: string, options: MountOptions): Promise<string> {
    const id = newId();
    const path = join(this.#root, half + id);
    mkdirSync(path, { mode: 0o755 });
    try {
      await options.initial?.(path);
      renameSync(path, join(this.#root, id));
    } catch (error) {
      this.#removal.discard(path);
      throw error;
    }
    this.#db.run(
      "INSERT INTO mounts VALUES (?, ?, ?, ?, NULL, 0, NULL)",
      id,
      name,
      options.description ?? `cached mount ${name}`,
      Date.now(),
    );
    return id;
  }

  #mounted(id: string, name: string): Mounted {
    let released = false;
    return {
      path: join(this.#root, id),
      release: async () => {
        if (released) return;
        released = true;
        const busy = this.#busy.get(id)!;
        this.#db.run(
          "UPDATE mounts SET last_used_at = ?, usage_count = usage_count + 1, size = NULL WHERE id = ?",
          Date.now(),
          id,
        );
        if (--busy.count > 0) return;
        this.#busy.delete(id);
        this.#released.get(name)?.resolve();
        this.#released.delete(name);
      },
    };
  }

  #whenReleased(name: string): Promise<void> {
    let release = this.#released.get(name);
    if (!release) {
      release = deferred();
      this.#released.set(name, release);
    }
    return release.promise;
  }

  async usage(): Promise<UsageRecord[]> {
    const records: UsageRecord[] = [];
    for (const row of this.#db.all("SELECT * FROM mounts")) {
      const id = String(row["id"]);
      const used = row["last_used_at"];
      records.push({
        id,
        parents: [],
        type: "exec.cachemount",
        description: String(row["description"]),
        mutable: true,
        inUse: this.#busy.has(id),
        shared: false,
        size: row["size"] === null ? await this.#measure(id) : Number(row["size"]),
        createdAt: new Date(Number(row["created_at"])),
        lastUsedAt: used === null || used === undefined ? undefined : new Date(Number(used)),
        usageCount: Number(row["usage_count"]),
      });
    }
    return records;
  }

  /** What is being written has no size that could be kept. */
  async #measure(id: string): Promise<number> {
    const before = this.#db.get("SELECT last_used_at FROM mounts WHERE id = ?", id)?.["last_used_at"];
    let size = 0;
    try {
      ({ size } = await diskUsage(join(this.#root, id)));
    } catch {
      // A step changes it while we look, or it was removed.
      return 0;
    }
    if (!this.#busy.has(id))
      this.#db.run("UPDATE mounts SET size = ? WHERE id = ? AND last_used_at IS ?", size, id, before ?? null);
    return size;
  }

  /** False when it is in use or gone. */
  remove(id: string): boolean {
    if (this.#busy.has(id)) return false;
    if (this.#db.run("DELETE FROM mounts WHERE id = ?", id) === 0) return false;
    this.#removal.discard(join(this.#root, id));
    return true;
  }

  /** When the bytes of what was removed are free. */
  get settled(): Promise<void> {
    return this.#removal.settled;
  }
}

function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw new CortenError("canceled", "context canceled");
}

function orAborted(wait: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(new CortenError("canceled", "context canceled"));
    signal.addEventListener("abort", onAbort, { once: true });
    wait.then(() => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    }, reject);
    if (signal.aborted) onAbort();
  });
}
