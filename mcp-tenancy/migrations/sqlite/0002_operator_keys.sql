CREATE TABLE operator_key (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    principal_id TEXT NOT NULL,
    digest BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;
