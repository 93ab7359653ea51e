-- Settings hold no environment: that may be secret, and stands sealed beside them.
CREATE TABLE added_server (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    package TEXT NOT NULL,
    settings TEXT NOT NULL,
    sealed_env BYTEA NOT NULL,
    releases TEXT NOT NULL,
    revision BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
