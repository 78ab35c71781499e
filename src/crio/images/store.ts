import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { KeyedMutex, Limiter } from "../../base/async.ts";
import { isCode, messageOf } from "../../base/errors.ts";
import { log } from "../../base/log.ts";
import type { Digest } from "../../oci/digest.ts";
import {
  type ContentStore,
  openContentStore,
  openNative,
  openOverlayfs,
  type Snapshotter,
} from "../../store/index.ts";
import { ImageRecords } from "./records.ts";

/** Images on disk: records, content, snapshots. What no image and no container needs is collected. */
export class ImageStore {
  readonly root: string;
  readonly records: ImageRecords;
  readonly content: ContentStore;
  readonly snapshots: Snapshotter;
  /** One unpacking per snapshot at a time. */
  readonly unpacking = new KeyedMutex();
  readonly downloads = new Limiter(6);
  #pulls = 0;
  #collecting: Promise<void> = Promise.resolve();

  private constructor(root: string, records: ImageRecords, content: ContentStore, snapshots: Snapshotter) {
    this.root = root;
    this.records = records;
    this.content = content;
    this.snapshots = snapshots;
  }

  static async open(root: string, driver: string): Promise<ImageStore> {
    mkdirSync(root, { recursive: true, mode: 0o711 });
    const records = new ImageRecords(join(root, "images.db"));
    try {
      const content = await openContentStore(join(root, "content"));
      const snapshots =
        driver === "vfs" ? await openNative(join(root, "vfs")) : await openOverlayfs(join(root, "overlay"));
      return new ImageStore(root, records, content, snapshots);
    } catch (error) {
      records[Symbol.dispose]();
      throw error;
    }
  }

  /** While `work` runs nothing is collected; what it leaves without a record is, afterwards. */
  async holding<T>(work: () => Promise<T>): Promise<T> {
    await this.#collecting;
    this.#pulls++;
    try {
      return await work();
    } finally {
      this.#pulls--;
    }
  }

  /** Removes blobs and snapshots that no image refers to. With a pull under way it is left to the next time. */
  collect(): Promise<void> {
    this.#collecting = this.#collecting.then(() =>
      this.#collect().catch((error) => log.warn("cannot collect images' rests", { error: messageOf(error) })),
    );
    return this.#collecting;
  }

  async #collect(): Promise<void> {
    if (this.#pulls > 0) return;
    const images = this.records.all();
    const content = new Set<Digest>(images.flatMap((image) => image.content));
    const chains = new Set<string>(images.flatMap(({ chainIds }) => chainIds));
    const blobs: Digest[] = [];
    await this.content.walk(({ digest }) => {
      if (!content.has(digest)) blobs.push(digest);
    });
    for (const digest of blobs) await this.content.delete(digest);
    for (const { ref } of await this.content.statuses()) await this.content.abort(ref).catch(() => {});
    const committed: string[] = [];
    const parents = new Set<string>();
    const parentOf = new Map<string, string>();
    await this.snapshots.walk(({ kind, name, parent }) => {
      parentOf.set(name, parent);
      if (kind === "committed" && !chains.has(name)) committed.push(name);
      // A container that is there keeps its image's layers, also when the image is removed.
      if (kind !== "committed" && parent !== "" && !name.startsWith(extracting)) parents.add(parent);
      if (name.startsWith(extracting)) committed.push(name);
    });
    for (const parent of parents)
      for (let at: string | undefined = parent; at; at = parentOf.get(at)) chains.add(at);
    let left = committed.filter((name) => !chains.has(name));
    // From the top: what has children cannot be removed.
    for (let before = -1; left.length > 0 && left.length !== before; ) {
      before = left.length;
      const again: string[] = [];
      for (const name of left)
        await this.snapshots.remove(name).catch((error) => {
          if (isCode(error, "failed_precondition")) again.push(name);
          else if (!isCode(error, "not_found")) throw error;
        });
      left = again;
    }
  }

  async close(): Promise<void> {
    await this.#collecting;
    await this.snapshots.close();
    await this.content.close();
    this.records[Symbol.dispose]();
  }
}

/** What a layer's snapshot is called while it is filled; after a kill it is left, and collected. */
export const extracting = "extract-";
