/** Version n of the schema is what the first n statements make; append, never change one that was released. */
export const migrations = [
  `
  CREATE TABLE namespaces (name TEXT PRIMARY KEY, labels TEXT NOT NULL) WITHOUT ROWID;

  CREATE TABLE containers (
    namespace TEXT NOT NULL, id TEXT NOT NULL,
    snapshotter TEXT NOT NULL, snapshot_key TEXT NOT NULL, labels TEXT NOT NULL,
    record BLOB NOT NULL, -- containerd.services.containers.v1.Container
    PRIMARY KEY (namespace, id)
  ) WITHOUT ROWID;

  CREATE TABLE images (
    namespace TEXT NOT NULL, name TEXT NOT NULL,
    media_type TEXT NOT NULL, digest TEXT NOT NULL, size INTEGER NOT NULL, annotations TEXT NOT NULL,
    labels TEXT NOT NULL, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
    PRIMARY KEY (namespace, name)
  ) WITHOUT ROWID;

  CREATE TABLE contents (
    namespace TEXT NOT NULL, digest TEXT NOT NULL, size INTEGER NOT NULL,
    labels TEXT NOT NULL, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
    PRIMARY KEY (namespace, digest)
  ) WITHOUT ROWID;
  CREATE INDEX contents_by_digest ON contents (digest);

  CREATE TABLE ingests (
    namespace TEXT NOT NULL, ref TEXT NOT NULL, expire_at INTEGER, -- null: as long as its lease
    PRIMARY KEY (namespace, ref)
  ) WITHOUT ROWID;

  CREATE TABLE snapshots (
    namespace TEXT NOT NULL, snapshotter TEXT NOT NULL, name TEXT NOT NULL,
    backend TEXT NOT NULL UNIQUE, -- the snapshotter's own key
    parent TEXT NOT NULL, labels TEXT NOT NULL, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
    PRIMARY KEY (namespace, snapshotter, name)
  ) WITHOUT ROWID;
  CREATE INDEX snapshots_by_parent ON snapshots (namespace, snapshotter, parent);

  CREATE TABLE leases (
    namespace TEXT NOT NULL, id TEXT NOT NULL, labels TEXT NOT NULL, created_at INTEGER NOT NULL,
    PRIMARY KEY (namespace, id)
  ) WITHOUT ROWID;

  CREATE TABLE lease_resources (
    namespace TEXT NOT NULL, lease TEXT NOT NULL, type TEXT NOT NULL, id TEXT NOT NULL,
    PRIMARY KEY (namespace, lease, type, id),
    FOREIGN KEY (namespace, lease) REFERENCES leases (namespace, id) ON DELETE CASCADE
  ) WITHOUT ROWID;

  CREATE TABLE properties (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
  `,
  // A snapshot may have several names.
  `
  ALTER TABLE snapshots RENAME TO snapshots_of_one_name;
  CREATE TABLE snapshots (
    namespace TEXT NOT NULL, snapshotter TEXT NOT NULL, name TEXT NOT NULL,
    backend TEXT NOT NULL, -- the snapshotter's own key
    parent TEXT NOT NULL, labels TEXT NOT NULL, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
    PRIMARY KEY (namespace, snapshotter, name)
  ) WITHOUT ROWID;
  INSERT INTO snapshots SELECT * FROM snapshots_of_one_name;
  DROP TABLE snapshots_of_one_name;
  CREATE INDEX snapshots_by_parent ON snapshots (namespace, snapshotter, parent);
  CREATE INDEX snapshots_by_backend ON snapshots (snapshotter, backend);
  `,
  // Groups of containers.
  `
  CREATE TABLE sandboxes (
    namespace TEXT NOT NULL, id TEXT NOT NULL,
    record BLOB NOT NULL, -- containerd.types.Sandbox
    made_at INTEGER, -- by its controller, like the next two
    started_at INTEGER, stopped_at INTEGER,
    PRIMARY KEY (namespace, id)
  ) WITHOUT ROWID;
  `,
];
