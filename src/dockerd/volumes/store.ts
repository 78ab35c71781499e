import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Database } from "../../base/database.ts";
import { alreadyExists, conflict, invalid, notFound } from "../../base/errors.ts";
import type { Host } from "../host.ts";

export const volumeSchema =
  "CREATE TABLE volumes (name TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID";

export interface VolumeRecord {
  name: string;
  driver: string;
  labels: Record<string, string> | null;
  options: Record<string, string> | null;
  created: string;
  mountpoint: string;
}

/** Docker marks the volumes nobody named with this label. */
export const anonymousLabel = "com.docker.volume.anonymous";

/** Local volumes: a directory each, and for those with mount options a mount while they are used. */
export class VolumeStore {
  readonly #db: Database;
  readonly #root: string;
  readonly #host: Host;
  readonly #byName = new Map<string, VolumeRecord>();
  /** Containers that use a mounted volume, by volume. */
  readonly #users = new Map<string, Set<string>>();

  constructor(db: Database, root: string, host: Host) {
    this.#db = db;
    this.#root = root;
    this.#host = host;
    for (const row of db.all<{ record: string }>("SELECT record FROM volumes")) {
      const record = JSON.parse(row.record) as VolumeRecord;
      this.#byName.set(record.name, record);
    }
  }

  all(): VolumeRecord[] {
    return [...this.#byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  find(name: string): VolumeRecord | undefined {
    return this.#byName.get(name);
  }

  get(name: string): VolumeRecord {
    const found = this.#byName.get(name);
    if (!found) throw notFound(`get ${name}: no such volume`);
    return found;
  }

  /** Makes the volume, or gives the one that has the name and the same driver. */
  create(
    request: {
      name?: string;
      driver?: string;
      labels?: Record<string, string> | null;
      options?: Record<string, string> | null;
    },
    created: string,
  ): { volume: VolumeRecord; made: boolean } {
    const driver = request.driver || "local";
    if (driver !== "local")
      throw notFound(
        `create ${request.name ?? ""}: error looking up volume plugin ${driver}: plugin "${driver}" not found`,
      );
    const name = request.name || randomBytes(32).toString("hex");
    const before = this.#byName.get(name);
    if (before) return { volume: before, made: false };
    if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/.test(name))
      throw invalid(
        `create ${name}: ${JSON.stringify(name)} includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`,
      );
    if (name.length > 255) throw alreadyExists(`create ${name}: volume name is too long`);
    const options = request.options && Object.keys(request.options).length > 0 ? request.options : null;
    checkOptions(name, options);
    const directory = join(this.#root, name);
    const mountpoint = join(directory, "_data");
    mkdirSync(directory, { recursive: true, mode: 0o701 });
    mkdirSync(mountpoint, { recursive: true, mode: 0o755 });
    const volume: VolumeRecord = {
      name,
      driver,
      labels: request.labels ?? null,
      options,
      created,
      mountpoint,
    };
    this.#byName.set(name, volume);
    this.#db.run("INSERT INTO volumes (name, record) VALUES (?, ?)", name, JSON.stringify(volume));
    return { volume, made: true };
  }

  /** Removes the volume with its content. `users` are the containers that refer to it. */
  remove(name: string, users: readonly string[], force: boolean): boolean {
    const volume = this.#byName.get(name);
    if (!volume) {
      if (force) return false;
      throw notFound(`get ${name}: no such volume`);
    }
    if (users.length > 0) throw conflict(`remove ${name}: volume is in use - [${users.join(", ")}]`);
    this.#byName.delete(name);
    this.#db.run("DELETE FROM volumes WHERE name = ?", name);
    rmSync(join(this.#root, name), { recursive: true, force: true });
    return true;
  }

  /** Before a container that uses it starts: the mount of a volume that has one. */
  use(name: string, containerId: string): void {
    const volume = this.get(name);
    const users = this.#users.get(name) ?? new Set();
    if (users.size === 0 && volume.options?.["device"] !== undefined)
      this.#host.mountVolume(
        {
          type: volume.options["type"] ?? "",
          source: volume.options["device"] ?? "",
          options: volume.options["o"] ?? "",
        },
        volume.mountpoint,
      );
    users.add(containerId);
    this.#users.set(name, users);
  }

  /** After it has ended. */
  unuse(name: string, containerId: string): void {
    const users = this.#users.get(name);
    if (!users?.delete(containerId) || users.size > 0) return;
    this.#users.delete(name);
    const volume = this.#byName.get(name);
    if (volume?.options?.["device"] !== undefined) this.#host.unmount(volume.mountpoint);
  }

  /** Adopts the use of a container that survived the daemon. */
  adopt(name: string, containerId: string): void {
    const users = this.#users.get(name) ?? new Set();
    users.add(containerId);
    this.#users.set(name, users);
  }

  isEmpty(volume: VolumeRecord): boolean {
    try {
      return readdirSync(volume.mountpoint).length === 0;
    } catch {
      return true;
    }
  }
}

const knownOptions = new Set(["type", "o", "device", "size"]);

function checkOptions(name: string, options: Record<string, string> | null): void {
  if (!options) return;
  for (const key of Object.keys(options))
    if (!knownOptions.has(key)) throw invalid(`create ${name}: invalid option: ${JSON.stringify(key)}`);
  const has = (key: string) => options[key] !== undefined && options[key] !== "";
  if (has("device") !== has("type") && !(has("device") && /(^|,)r?bind(,|$)/.test(options["o"] ?? "")))
    throw invalid(
      `create ${name}: missing required option: ${JSON.stringify(has("device") ? "type" : "device")}`,
    );
}
