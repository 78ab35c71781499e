import { Database } from "../base/database.ts";
import type { Endpoint, NetworkRecord } from "./types.ts";

const migrations = [
  `CREATE TABLE networks (
     id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, position INTEGER NOT NULL,
     cursor INTEGER, record TEXT NOT NULL);
   CREATE TABLE endpoints (
     endpoint_id TEXT PRIMARY KEY, network_id TEXT NOT NULL REFERENCES networks(id),
     container_id TEXT NOT NULL, position INTEGER NOT NULL, record TEXT NOT NULL,
     UNIQUE (network_id, container_id));`,
];

/** Networks and endpoints on disk. The manager reads them once and writes through. */
export class Records implements Disposable {
  readonly #db: Database;

  constructor(path: string) {
    this.#db = new Database(path, migrations);
  }

  networks(): Array<{ record: NetworkRecord; cursor: number | undefined }> {
    return this.#db
      .all<{ record: string; cursor: number | null }>("SELECT record, cursor FROM networks ORDER BY position")
      .map(({ record, cursor }) => ({
        record: JSON.parse(record) as NetworkRecord,
        cursor: cursor ?? undefined,
      }));
  }

  endpoints(): Endpoint[] {
    return this.#db
      .all<{ record: string }>("SELECT record FROM endpoints ORDER BY position")
      .map(({ record }) => JSON.parse(record) as Endpoint);
  }

  saveNetwork(record: NetworkRecord): void {
    this.#db.run(
      `INSERT INTO networks (id, name, position, record)
       VALUES (?, ?, (SELECT coalesce(max(position), 0) + 1 FROM networks), ?)
       ON CONFLICT (id) DO UPDATE SET record = excluded.record, name = excluded.name`,
      record.id,
      record.name,
      JSON.stringify(record),
    );
  }

  removeNetwork(id: string): void {
    this.#db.run("DELETE FROM networks WHERE id = ?", id);
  }

  /** The endpoint and how far its network's addresses are handed out, in one transaction. */
  saveEndpoint(endpoint: Endpoint, cursor: number | undefined): void {
    this.#db.transaction(() => {
      this.#db.run(
        `INSERT INTO endpoints (endpoint_id, network_id, container_id, position, record)
         VALUES (?, ?, ?, (SELECT coalesce(max(position), 0) + 1 FROM endpoints), ?)
         ON CONFLICT (endpoint_id) DO UPDATE SET record = excluded.record`,
        endpoint.endpointId,
        endpoint.networkId,
        endpoint.containerId,
        JSON.stringify(endpoint),
      );
      if (cursor !== undefined)
        this.#db.run("UPDATE networks SET cursor = ? WHERE id = ?", cursor, endpoint.networkId);
    });
  }

  removeEndpoint(endpointId: string): void {
    this.#db.run("DELETE FROM endpoints WHERE endpoint_id = ?", endpointId);
  }

  [Symbol.dispose](): void {
    this.#db[Symbol.dispose]();
  }
}
