/**
 * What all snapshotters share: metadata, directories named by number, removal in the background, and the
 * sweep of directories nothing refers to. An implementation says how a directory is made and mounted.
 */
import { mkdirSync, readdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { conflict, messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import { diskUsage } from "../../sys/disk-usage.ts";
import type { Mount } from "../../sys/mount.ts";
import { spreadDirectories } from "../../sys/spread.ts";
import { SnapshotMetadata, type StoredSnapshot } from "./metadata.ts";
import { removeDirectories } from "./remove.ts";
import type { SnapshotInfo, SnapshotKind, SnapshotOptions, Snapshotter, Usage } from "./types.ts";

/** A directory under this prefix is being made or removed: it belongs to nobody. */
const temporaryPrefix = "new-";
const removedPrefix = "rm-";

export abstract class BaseSnapshotter implements Snapshotter {
  abstract readonly name: string;
  protected readonly root: string;
  readonly #metadata: SnapshotMetadata;
  #removal: Promise<void> = Promise.resolve();
  #removed = 0;
  #closed = false;

  constructor(root: string) {
    this.root = root;
    mkdirSync(this.#directories, { recursive: true, mode: 0o700 });
    spreadDirectories(this.#directories);
    this.#metadata = new SnapshotMetadata(join(root, "metadata.db"));
    this.#setAsideOrphans();
    this.#removeInBackground();
  }

  get #directories(): string {
    return join(this.root, "snapshots");
  }

  protected directory(id: number): string {
    return join(this.#directories, String(id));
  }

  /** Fills the new directory `path`, before anybody can see it. */
  protected abstract make(path: string, snapshot: StoredSnapshot): void | Promise<void>;
  protected abstract mountsOf(snapshot: StoredSnapshot): Mount[];
  /** The directory of snapshot `id` whose use counts. */
  protected abstract data(id: number): string;

  prepare(key: string, parent: string, options: SnapshotOptions = {}): Promise<Mount[]> {
    return this.#create("active", key, parent, options);
  }

  view(key: string, parent: string, options: SnapshotOptions = {}): Promise<Mount[]> {
    return this.#create("view", key, parent, options);
  }

  /**
   * The row comes first and gives the number. It is taken back when the directory cannot be made; and when the
   * process dies before the directory has its name, the next start takes it back.
   */
  async #create(kind: SnapshotKind, key: string, parent: string, options: SnapshotOptions): Promise<Mount[]> {
    const snapshot = this.#metadata.transaction(() =>
      this.#metadata.create(kind, key, parent, options.labels ?? {}),
    );
    const temporary = join(this.#directories, `${temporaryPrefix}${snapshot.id}`);
    try {
      mkdirSync(temporary, { mode: 0o700 });
      await this.make(temporary, snapshot);
      renameSync(temporary, this.directory(snapshot.id));
      return this.mountsOf(snapshot);
    } catch (error) {
      try {
        this.#metadata.transaction(() => this.#metadata.remove(key));
      } catch (second) {
        log.warn("cannot take back a failed snapshot", { key, error: messageOf(second) });
      }
      this.#setAside(temporary);
      this.#setAside(this.directory(snapshot.id));
      this.#removeInBackground();
      throw error;
    }
  }

  async mounts(key: string): Promise<Mount[]> {
    const snapshot = this.#metadata.get(key);
    if (snapshot.info.kind === "committed")
      throw conflict(`snapshot ${key} is committed, it has no mounts: failed precondition`);
    return this.mountsOf(snapshot);
  }

  async commit(name: string, key: string, options: SnapshotOptions = {}): Promise<void> {
    const before = this.#metadata.get(key);
    const usage = await diskUsage(this.data(before.id));
    this.#metadata.transaction(() => this.#metadata.commit(name, key, usage, options.labels ?? {}));
  }

  async remove(key: string): Promise<void> {
    const removed = this.#metadata.transaction(() => this.#metadata.remove(key));
    this.#setAside(this.directory(removed.id));
    this.#removeInBackground();
  }

  async stat(key: string): Promise<SnapshotInfo> {
    return this.#metadata.get(key).info;
  }

  async update(
    info: Pick<SnapshotInfo, "name" | "labels">,
    fieldpaths: readonly string[] = [],
  ): Promise<SnapshotInfo> {
    return this.#metadata.transaction(() => this.#metadata.update(info.name, info.labels, fieldpaths));
  }

  async usage(key: string): Promise<Usage> {
    const { id, info, usage } = this.#metadata.get(key);
    return info.kind === "active" ? await diskUsage(this.data(id)) : usage;
  }

  async walk(visit: (info: SnapshotInfo) => void | Promise<void>): Promise<void> {
    for (const { info } of this.#metadata.list()) await visit(info);
  }

  async cleanup(): Promise<void> {
    this.#removeInBackground();
    await this.#removal;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#removal;
    this.#metadata[Symbol.dispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** At start: directories without a row, and half-made ones, are nobody's; rows without a directory were never given out. */
  #setAsideOrphans(): void {
    const ids = this.#metadata.ids();
    const present = new Set<number>();
    for (const name of readdirSync(this.#directories)) {
      if (name.startsWith(removedPrefix)) continue;
      const id = Number(name);
      if (ids.has(id)) present.add(id);
      else this.#setAside(join(this.#directories, name));
    }
    for (const { id, info } of this.#metadata.list().reverse()) {
      if (present.has(id)) continue;
      log.warn("removing a snapshot that was never completed", { snapshotter: this.name, name: info.name });
      try {
        this.#metadata.transaction(() => this.#metadata.remove(info.name));
      } catch (error) {
        log.error("a snapshot has lost its directory", { name: info.name, error: messageOf(error) });
      }
    }
  }

  /** One rename, so that the number is free of its content at once whatever happens later. */
  #setAside(path: string): void {
    const aside = join(this.#directories, `${removedPrefix}${process.pid}-${Date.now()}-${this.#removed++}`);
    try {
      renameSync(path, aside);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT")
        log.warn("cannot set a removed snapshot aside", { path, error: messageOf(error) });
    }
  }

  #removeInBackground(): void {
    this.#removal = this.#removal.then(async () => {
      const names = readdirSync(this.#directories).filter((name) => name.startsWith(removedPrefix));
      try {
        await removeDirectories(names.map((name) => join(this.#directories, name)));
      } catch (error) {
        // They stay aside, and the next removal or start tries again.
        log.warn("cannot remove snapshot directories", { snapshotter: this.name, error: messageOf(error) });
      }
    });
  }
}
