import type { Database } from "../../base/database.ts";
import { alreadyExists, CortenError, invalid, notFound } from "../../base/errors.ts";
import { Container, type ContainerRecord } from "./container.ts";
import { generateName } from "./names.ts";

export const containerSchema =
  "CREATE TABLE containers (id TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID";

/** Milliseconds that `saveSoon` waits. */
const saveDelay = 30;

/** All containers by id, name and id prefix; what is changed is written through to the database. */
export class ContainerStore {
  readonly #db: Database;
  readonly #byId = new Map<string, Container>();
  readonly #byName = new Map<string, string>();
  /** Containers to be saved in a moment, and what is to follow. */
  readonly #soon = new Map<Container, () => void>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(db: Database) {
    this.#db = db;
    for (const row of db.all<{ record: string }>("SELECT record FROM containers")) {
      const record = JSON.parse(row.record) as ContainerRecord;
      this.#byId.set(record.id, new Container(record));
      this.#byName.set(record.name, record.id);
    }
  }

  all(): Container[] {
    return [...this.#byId.values()];
  }

  byId(id: string): Container | undefined {
    return this.#byId.get(id);
  }

  /** By full id, then name, then unique prefix of an id; throws Docker's not-found. */
  get(reference: string): Container {
    const found = this.find(reference);
    if (!found) throw notFound(`No such container: ${reference}`);
    return found;
  }

  find(reference: string): Container | undefined {
    if (reference === "") throw invalid('invalid name or ID supplied: ""');
    const exact = this.#byId.get(reference);
    if (exact) return exact;
    const name = reference.startsWith("/") ? reference.slice(1) : reference;
    const id = this.#byName.get(name);
    if (id !== undefined) return this.#byId.get(id);
    if (!/^[0-9a-f]+$/.test(reference)) return undefined;
    let match: Container | undefined;
    for (const [candidate, container] of this.#byId) {
      if (!candidate.startsWith(reference)) continue;
      if (match)
        throw new CortenError("invalid_argument", `multiple IDs found with provided prefix: ${reference}`);
      match = container;
    }
    return match;
  }

  /** Takes a name for `id`; "" makes one up. */
  reserve(name: string, id: string): string {
    if (name === "") {
      for (let attempt = 0; ; attempt++) {
        const candidate = generateName(attempt);
        if (this.#byName.has(candidate)) continue;
        this.#byName.set(candidate, id);
        return candidate;
      }
    }
    const bare = checkName(name);
    const holder = this.#byName.get(bare);
    if (holder !== undefined && holder !== id)
      throw alreadyExists(
        `Conflict. The container name ${JSON.stringify(`/${bare}`)} is already in use by container ${JSON.stringify(holder)}. You have to remove (or rename) that container to be able to reuse that name.`,
      );
    this.#byName.set(bare, id);
    return bare;
  }

  /** Gives a name back. */
  release(name: string, id: string): void {
    if (this.#byName.get(name) === id) this.#byName.delete(name);
  }

  add(container: Container): void {
    this.#byId.set(container.id, container);
    this.save(container);
  }

  /** Saves a container whose present state a restart would find out by itself, and does `then`, in a moment. */
  saveSoon(container: Container, then: () => void): void {
    this.#soon.set(container, then);
    this.#timer ??= setTimeout(() => this.flush(), saveDelay);
  }

  /** Does now what was to be done in a moment. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const container of [...this.#soon.keys()]) this.save(container);
  }

  /** As `flush`, for one container: before it is used again. */
  settle(container: Container): void {
    if (this.#soon.has(container)) this.save(container);
  }

  save(container: Container): void {
    const then = this.#soon.get(container);
    this.#soon.delete(container);
    this.#write(container);
    then?.();
  }

  #write(container: Container): void {
    if (!this.#byId.has(container.id)) return;
    this.#db.run(
      "INSERT INTO containers (id, record) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET record = excluded.record",
      container.id,
      JSON.stringify(container.record),
    );
  }

  remove(container: Container): void {
    this.#soon.delete(container);
    this.#byId.delete(container.id);
    this.release(container.name, container.id);
    this.#db.run("DELETE FROM containers WHERE id = ?", container.id);
  }
}

/** The name without its slash; throws Docker's text for what is no name. */
export function checkName(name: string): string {
  const bare = name.startsWith("/") ? name.slice(1) : name;
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/.test(bare))
    throw invalid(`Invalid container name (${name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`);
  return bare;
}
