/** What is kept of images: one row per configuration digest, and the names that point at it. */
import { Database } from "../../base/database.ts";
import { invalid } from "../../base/errors.ts";
import type { CriImage } from "../../cri/engine.ts";
import type { Digest } from "../../oci/digest.ts";
import type { ImageConfig } from "../../oci/image-spec.ts";
import { formatReference, parseImageName } from "../../oci/reference.ts";

export interface ImageRecord {
  /** Digest of the configuration. */
  id: Digest;
  /** Digest of the index or manifest that was asked for. */
  target: Digest;
  size: number;
  config: ImageConfig;
  /** Names of the committed snapshots, from the bottom. */
  chainIds: Digest[];
  /** Index, manifest and configuration: the layers' blobs go once they are unpacked. */
  content: Digest[];
}

const migrations = [
  `CREATE TABLE images (id TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT;
   CREATE TABLE names (name TEXT PRIMARY KEY, image TEXT NOT NULL REFERENCES images (id)) STRICT;`,
];

export class ImageRecords implements Disposable {
  readonly #db: Database;
  readonly #images = new Map<Digest, ImageRecord>();
  readonly #names = new Map<string, Digest>();

  constructor(path: string) {
    this.#db = new Database(path, migrations);
    for (const { record } of this.#db.all<{ record: string }>("SELECT record FROM images")) {
      const image = JSON.parse(record) as ImageRecord;
      this.#images.set(image.id, image);
    }
    for (const { name, image } of this.#db.all<{ name: string; image: string }>("SELECT * FROM names"))
      this.#names.set(name, image as Digest);
  }

  all(): ImageRecord[] {
    return [...this.#images.values()];
  }

  get(id: Digest): ImageRecord | undefined {
    return this.#images.get(id);
  }

  /** Names are whole: `host/path:tag` or `host/path@digest`. A tag that pointed elsewhere moves. */
  put(image: ImageRecord, names: readonly string[]): void {
    this.#db.transaction(() => {
      this.#db.run(
        "INSERT INTO images (id, record) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET record = excluded.record",
        image.id,
        JSON.stringify(image),
      );
      for (const name of names)
        this.#db.run(
          "INSERT INTO names (name, image) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET image = excluded.image",
          name,
          image.id,
        );
    });
    this.#images.set(image.id, image);
    for (const name of names) this.#names.set(name, image.id);
  }

  remove(id: Digest): void {
    this.#db.transaction(() => {
      this.#db.run("DELETE FROM names WHERE image = ?", id);
      this.#db.run("DELETE FROM images WHERE id = ?", id);
    });
    this.#images.delete(id);
    for (const [name, image] of this.#names) if (image === id) this.#names.delete(name);
  }

  namesOf(id: Digest): { tags: string[]; digests: string[] } {
    const names = [...this.#names].filter(([, image]) => image === id).map(([name]) => name);
    return {
      tags: names.filter((name) => !name.includes("@")),
      digests: names.filter((name) => name.includes("@")),
    };
  }

  /** By a whole name, an id or the beginning of one; `candidates` are the names that a short one may stand for. */
  find(text: string, candidates: readonly string[] = []): ImageRecord | undefined {
    const hex = /^(?:sha256:)?([0-9a-f]{1,64})$/.exec(text)?.[1];
    const whole = hex === undefined ? undefined : this.#images.get(`sha256:${hex}`);
    if (whole) return whole;
    for (const name of [...candidates, canonicalName(text)]) {
      const id = name === undefined ? undefined : this.#names.get(name);
      if (id) return this.#images.get(id);
    }
    if (hex === undefined || hex.length < 3) return undefined;
    const begun = this.all().filter(({ id }) => id.startsWith(`sha256:${hex}`));
    if (begun.length > 1) throw invalid(`image id ${JSON.stringify(text)} is ambiguous`);
    return begun[0];
  }

  [Symbol.dispose](): void {
    this.#db[Symbol.dispose]();
  }
}

function canonicalName(text: string): string | undefined {
  try {
    return formatReference(parseImageName(text));
  } catch {
    return undefined;
  }
}

/** As CRI tells of it. */
export function criImage(records: ImageRecords, record: ImageRecord, pinned: boolean): CriImage {
  return {
    id: record.id,
    ...records.namesOf(record.id),
    size: record.size,
    config: record.config,
    target: record.target,
    chainId: record.chainIds.at(-1),
    pinned,
  };
}
