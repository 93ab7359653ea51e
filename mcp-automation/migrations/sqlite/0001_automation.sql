-- Settings hold no environment: that may be secret, and stands sealed beside them.
CREATE TABLE added_server (
    name TEXT NOT NULL PRIMARY KEY,
    package TEXT NOT NULL,
    settings TEXT NOT NULL,
    sealed_env BLOB NOT NULL,
    releases TEXT NOT NULL,
    revision INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
