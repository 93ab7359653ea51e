CREATE TABLE placement (
    tenant_id   TEXT    NOT NULL PRIMARY KEY,
    mode        TEXT    NOT NULL CHECK (mode IN ('row', 'schema', 'database')),
    schema_name TEXT    NOT NULL UNIQUE,
    ready       INTEGER NOT NULL DEFAULT 0 CHECK (ready IN (0, 1)),
    created_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE lease (
    name       TEXT    NOT NULL PRIMARY KEY,
    owner      TEXT    NOT NULL,
    token      INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
