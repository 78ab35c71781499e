/** Version n of the schema is what the first n statements make; append, never change one that was released. */
export const migrations = [
  `
  CREATE TABLE properties (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

  CREATE TABLE records (
    key TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE,
    top TEXT NOT NULL,  -- snapshot; '' is the empty root filesystem
    base TEXT NOT NULL, -- the snapshot that its own layers begin above
    type TEXT NOT NULL, description TEXT NOT NULL,
    created_at INTEGER NOT NULL, last_used_at INTEGER, usage_count INTEGER NOT NULL
  ) WITHOUT ROWID;

  CREATE TABLE parents (
    record TEXT NOT NULL REFERENCES records (id) ON DELETE CASCADE,
    position INTEGER NOT NULL, parent TEXT NOT NULL,
    PRIMARY KEY (record, position)
  ) WITHOUT ROWID;

  CREATE TABLE aliases (
    alias TEXT PRIMARY KEY, key TEXT NOT NULL REFERENCES records (key) ON DELETE CASCADE
  ) WITHOUT ROWID;
  CREATE INDEX aliases_by_key ON aliases (key);

  -- Every layer of a record, those of images below included; each has a lease.
  CREATE TABLE layers (
    snapshot TEXT PRIMARY KEY, parent TEXT NOT NULL, size INTEGER NOT NULL,
    diff_id TEXT, blob TEXT -- the descriptor, JSON
  ) WITHOUT ROWID;

  CREATE TABLE mounts (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, description TEXT NOT NULL,
    created_at INTEGER NOT NULL, last_used_at INTEGER, usage_count INTEGER NOT NULL,
    size INTEGER -- null: has to be measured
  ) WITHOUT ROWID;
  CREATE INDEX mounts_by_name ON mounts (name);
  `,
];
