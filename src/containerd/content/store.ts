import type { Row } from "../../base/database.ts";
import { alreadyExists, invalid, isCode, notFound } from "../../base/errors.ts";
import { type Digest, isDigest } from "../../oci/digest.ts";
import type { ContentStore, ContentWriter, IngestStatus, ReaderAt } from "../../store/index.ts";
import { checkLabels, mergeLabels } from "../context.ts";
import { fields, parseFilters } from "../filters.ts";
import type { SharedLock } from "../gc/lock.ts";
import { type Labels, labelsOf, type Metadata } from "../metadata/metadata.ts";

export interface BlobInfo {
  digest: Digest;
  size: number;
  labels: Labels;
  createdAt: Date;
  updatedAt: Date;
}

/** How long an ingest that belongs to no lease may rest before it is collected. */
const ingestLifetime = 24 * 3600 * 1000;

/**
 * Content as one namespace sees it: bytes are shared by all namespaces, names and labels are not.
 * A namespace sees a blob only after it wrote it, or offered the right digest for bytes that are here.
 */
export class NamespacedContent {
  readonly #metadata: Metadata;
  readonly #lock: SharedLock;
  readonly #claims = new Map<Digest, number>();
  readonly store: ContentStore;

  constructor(metadata: Metadata, store: ContentStore, lock: SharedLock) {
    this.#metadata = metadata;
    this.store = store;
    this.#lock = lock;
  }

  info(namespace: string, digest: Digest): BlobInfo {
    if (!isDigest(digest)) throw invalid(`"${digest}" failed validation`);
    const row = this.#metadata.db.get(
      "SELECT * FROM contents WHERE namespace = ? AND digest = ?",
      namespace,
      digest,
    );
    if (!row) throw notFound(`content digest ${digest}: not found`);
    return infoOf(row);
  }

  list(namespace: string, filters: readonly string[]): BlobInfo[] {
    const filter = parseFilters(filters);
    return this.#metadata.db
      .all("SELECT * FROM contents WHERE namespace = ?", namespace)
      .map(infoOf)
      .filter((info) => filter(fields({ digest: info.digest, size: String(info.size) }, info.labels)));
  }

  update(namespace: string, digest: Digest, labels: Labels, paths: readonly string[]): BlobInfo {
    for (const path of paths)
      if (path !== "labels" && !path.startsWith("labels."))
        throw invalid(`cannot update "${path}" field on content info "${digest}": invalid argument`);
    return this.#metadata.db.transaction(() => {
      const before = this.info(namespace, digest);
      const merged = mergeLabels(before.labels, labels, paths);
      checkLabels(merged);
      const updatedAt = new Date();
      this.#metadata.db.run(
        "UPDATE contents SET labels = ?, updated_at = ? WHERE namespace = ? AND digest = ?",
        JSON.stringify(merged),
        updatedAt.getTime(),
        namespace,
        digest,
      );
      return { ...before, labels: merged, updatedAt };
    });
  }

  /** The namespace forgets the blob; its bytes go with the next collection, if nobody else has it. */
  delete(namespace: string, digest: Digest): void {
    this.#metadata.db.transaction(() => {
      this.info(namespace, digest);
      this.#metadata.db.run("DELETE FROM contents WHERE namespace = ? AND digest = ?", namespace, digest);
      this.#metadata.letGo(namespace, "content", digest);
    });
  }

  async readerAt(namespace: string, digest: Digest): Promise<ReaderAt> {
    this.info(namespace, digest);
    return this.store.readerAt(digest);
  }

  async statuses(namespace: string, filters: readonly string[]): Promise<IngestStatus[]> {
    const filter = parseFilters(filters);
    const prefix = `${namespace}/`;
    return (await this.store.statuses())
      .filter((status) => status.ref.startsWith(prefix))
      .map((status) => ({ ...status, ref: status.ref.slice(prefix.length) }))
      .filter((status) => filter(fields({ ref: status.ref })))
      .sort((a, b) => (a.ref < b.ref ? -1 : 1));
  }

  async status(namespace: string, ref: string): Promise<IngestStatus> {
    try {
      return { ...(await this.store.status(`${namespace}/${ref}`)), ref };
    } catch (error) {
      if (isCode(error, "not_found"))
        throw notFound(`could not get status for ref "${ref}": reference ${ref}: not found`, error);
      throw error;
    }
  }

  async abort(namespace: string, ref: string): Promise<void> {
    const known = this.#metadata.db.run(
      "DELETE FROM ingests WHERE namespace = ? AND ref = ?",
      namespace,
      ref,
    );
    this.#metadata.letGo(namespace, "ingests", ref);
    try {
      await this.store.abort(`${namespace}/${ref}`);
    } catch (error) {
      if (!isCode(error, "not_found")) throw error;
      if (known === 0) throw notFound(`reference ${ref}: not found`, error);
    }
  }

  /** Begins or resumes a write. A blob this namespace has already fails with `already_exists`. */
  async writer(
    namespace: string,
    lease: string | undefined,
    ref: string,
    expected: Digest | "",
    total: number,
  ): Promise<NamespacedWriter> {
    if (ref === "") throw invalid("ref must not be empty: invalid argument");
    if (expected !== "" && !isDigest(expected)) throw invalid(`"${expected}" is no digest: invalid argument`);
    if (expected !== "") this.refuseExisting(namespace, lease, expected);
    this.#metadata.db.transaction(() => {
      this.#metadata.ensureNamespace(namespace);
      this.#metadata.hold(namespace, lease, "ingests", ref);
      this.#metadata.db.run(
        "INSERT OR REPLACE INTO ingests VALUES (?, ?, ?)",
        namespace,
        ref,
        lease === undefined ? Date.now() + ingestLifetime : null,
      );
    });
    if (expected !== "") {
      const present = await this.#claim(expected);
      if (present && (total === 0 || total === present.size))
        return new NamespacedWriter(this, namespace, lease, ref, undefined, present);
      if (present) this.unclaim(expected);
    }
    try {
      const writer = await this.store.writer(`${namespace}/${ref}`, {
        total,
        ...(expected === "" ? {} : { expected }),
      });
      return new NamespacedWriter(this, namespace, lease, ref, writer, undefined);
    } catch (error) {
      // Another one brought the bytes a moment ago and has yet to name them: we name them as well.
      if (expected === "" || !isCode(error, "already_exists")) throw error;
      const present = await this.#claim(expected);
      if (!present) throw error;
      return new NamespacedWriter(this, namespace, lease, ref, undefined, present);
    }
  }

  /** Bytes that are here stay, whoever names them, until the writer that found them is done with them. */
  #claim(digest: Digest): Promise<{ digest: Digest; size: number } | undefined> {
    return this.#lock.shared(async () => {
      const present = await this.store.info(digest).catch(() => undefined);
      if (present) this.#claims.set(digest, (this.#claims.get(digest) ?? 0) + 1);
      return present;
    });
  }

  unclaim(digest: Digest): void {
    const count = (this.#claims.get(digest) ?? 0) - 1;
    if (count > 0) this.#claims.set(digest, count);
    else this.#claims.delete(digest);
  }

  /** True while a writer is about to name bytes that are here. */
  isClaimed(digest: Digest): boolean {
    return this.#claims.has(digest);
  }

  /** Throws when the namespace has the blob; the lease holds it then, for whoever asked wanted to have it. */
  refuseExisting(namespace: string, lease: string | undefined, digest: Digest): void {
    const row = this.#metadata.db.get(
      "SELECT 1 FROM contents WHERE namespace = ? AND digest = ?",
      namespace,
      digest,
    );
    if (!row) return;
    this.#metadata.hold(namespace, lease, "content", digest);
    throw alreadyExists(`content ${digest}: already exists`);
  }

  /**
   * Makes a blob visible. `finish` brings the bytes into the store; the collector's sweep of unnamed bytes
   * is kept away until they have their row.
   */
  async commit(
    namespace: string,
    lease: string | undefined,
    ref: string,
    labels: Labels,
    finish: () => Promise<{ digest: Digest; size: number }>,
  ): Promise<Digest> {
    checkLabels(labels);
    return this.#lock.shared(async () => {
      const { digest, size } = await finish();
      const now = Date.now();
      // What exists is held all the same: the transaction must not be undone by the answer.
      const existed = this.#metadata.db.transaction(() => {
        this.#metadata.db.run("DELETE FROM ingests WHERE namespace = ? AND ref = ?", namespace, ref);
        this.#metadata.letGo(namespace, "ingests", ref);
        this.#metadata.hold(namespace, lease, "content", digest);
        const inserted = this.#metadata.db.run(
          "INSERT OR IGNORE INTO contents VALUES (?, ?, ?, ?, ?, ?)",
          namespace,
          digest,
          size,
          JSON.stringify(labels),
          now,
          now,
        );
        return inserted === 0;
      });
      if (existed) throw alreadyExists(`content ${digest}: already exists`);
      return digest;
    });
  }
}

/** A writer for one namespace; without bytes to write when another namespace has brought them already. */
export class NamespacedWriter implements AsyncDisposable {
  readonly #content: NamespacedContent;
  readonly #namespace: string;
  readonly #lease: string | undefined;
  readonly #ref: string;
  readonly #startedAt = new Date();
  #writer: ContentWriter | undefined;
  #present: { digest: Digest; size: number } | undefined;
  #claimed: Digest | undefined;

  constructor(
    content: NamespacedContent,
    namespace: string,
    lease: string | undefined,
    ref: string,
    writer: ContentWriter | undefined,
    present: { digest: Digest; size: number } | undefined,
  ) {
    this.#content = content;
    this.#namespace = namespace;
    this.#lease = lease;
    this.#ref = ref;
    this.#writer = writer;
    this.#present = present;
    this.#claimed = present?.digest;
  }

  get offset(): number {
    return this.#writer?.offset ?? this.#present?.size ?? 0;
  }

  status(): { startedAt: Date; updatedAt: Date } {
    return this.#writer?.status() ?? { startedAt: this.#startedAt, updatedAt: this.#startedAt };
  }

  /** Digest of what was written so far; costs a copy of the hash's state, so it is not asked per write. */
  digest(): Digest {
    return this.#writer?.digest() ?? this.#present?.digest ?? "";
  }

  async write(data: Uint8Array): Promise<void> {
    await (await this.#real()).write(data);
  }

  async truncate(size: number): Promise<void> {
    await (await this.#real()).truncate(size);
  }

  async commit(size: number, expected: Digest | "", labels: Labels): Promise<Digest> {
    return this.#content.commit(this.#namespace, this.#lease, this.#ref, labels, async () => {
      const present = this.#present;
      if (present) {
        // Claimed: it cannot have been collected; that somebody damages the store is another matter.
        await this.#content.store.info(present.digest);
        return present;
      }
      const writer = this.#writer!;
      const written = writer.offset;
      try {
        const digest = await writer.commit({
          ...(size > 0 ? { size } : {}),
          ...(expected === "" ? {} : { expected }),
        });
        return { digest, size: written };
      } catch (error) {
        // Another namespace was faster; that the digest is the right one was verified before.
        if (!isCode(error, "already_exists") || expected === "") throw error;
        return { digest: expected, size: (await this.#content.store.info(expected)).size };
      }
    });
  }

  /** A client that insists on sending bytes we have gets a real writer, which stands where it thinks it does. */
  async #real(): Promise<ContentWriter> {
    const present = this.#present;
    if (this.#writer) return this.#writer;
    const writer = await this.#content.store.writer(`${this.#namespace}/${this.#ref}`);
    this.#writer = writer;
    this.#present = undefined;
    await writer.truncate(0);
    if (present) {
      using reader = await this.#content.store.readerAt(present.digest);
      for await (const data of reader.stream() as unknown as AsyncIterable<Uint8Array>)
        await writer.write(data);
    }
    return writer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#claimed !== undefined) this.#content.unclaim(this.#claimed);
    this.#claimed = undefined;
    await this.#writer?.close();
  }
}

function infoOf(row: Row): BlobInfo {
  return {
    digest: String(row["digest"]),
    size: Number(row["size"]),
    labels: labelsOf(row),
    createdAt: new Date(Number(row["created_at"])),
    updatedAt: new Date(Number(row["updated_at"])),
  };
}
