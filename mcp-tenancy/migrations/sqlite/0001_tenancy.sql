CREATE TABLE tenant (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    features TEXT NOT NULL,
    requests_per_minute INTEGER NOT NULL,
    concurrent_contexts INTEGER NOT NULL,
    tier TEXT NOT NULL,
    region TEXT NOT NULL,
    status TEXT NOT NULL,
    schema_name TEXT NOT NULL UNIQUE,
    idempotency_key TEXT UNIQUE,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    revision INTEGER NOT NULL UNIQUE
) STRICT, WITHOUT ROWID;

-- One row, which every change to a tenant updates first: so revisions become visible in their order.
CREATE TABLE tenant_revision (
    slot INTEGER NOT NULL PRIMARY KEY CHECK (slot = 1),
    last INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO tenant_revision (slot, last) VALUES (1, 0);

CREATE TABLE api_key (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    name TEXT NOT NULL,
    principal_id TEXT NOT NULL,
    principal_kind TEXT NOT NULL,
    permissions TEXT NOT NULL,
    digest BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX api_key_of_tenant ON api_key (tenant_id, id);

-- The ordinal makes the first key the first for everyone: two of them collide.
CREATE TABLE signing_key (
    tenant_id TEXT NOT NULL,
    ordinal INTEGER NOT NULL,
    kid TEXT NOT NULL,
    public_key BLOB NOT NULL,
    sealed_private_key BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, ordinal),
    UNIQUE (tenant_id, kid)
) STRICT, WITHOUT ROWID;
