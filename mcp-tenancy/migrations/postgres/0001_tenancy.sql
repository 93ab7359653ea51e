CREATE TABLE tenant (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    features TEXT NOT NULL,
    requests_per_minute BIGINT NOT NULL,
    concurrent_contexts BIGINT NOT NULL,
    tier TEXT NOT NULL,
    region TEXT NOT NULL,
    status TEXT NOT NULL,
    schema_name TEXT NOT NULL UNIQUE,
    idempotency_key TEXT UNIQUE,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL,
    revision BIGINT NOT NULL UNIQUE
);

-- One row, which every change to a tenant updates first: so revisions become visible in their order.
CREATE TABLE tenant_revision (
    slot BIGINT NOT NULL PRIMARY KEY CHECK (slot = 1),
    last BIGINT NOT NULL
);
INSERT INTO tenant_revision (slot, last) VALUES (1, 0);

CREATE TABLE api_key (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    tenant_id TEXT COLLATE "C" NOT NULL,
    name TEXT NOT NULL,
    principal_id TEXT COLLATE "C" NOT NULL,
    principal_kind TEXT NOT NULL,
    permissions TEXT NOT NULL,
    digest BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT
);
CREATE INDEX api_key_of_tenant ON api_key (tenant_id, id);

-- The ordinal makes the first key the first for everyone: two of them collide.
CREATE TABLE signing_key (
    tenant_id TEXT COLLATE "C" NOT NULL,
    ordinal BIGINT NOT NULL,
    kid TEXT COLLATE "C" NOT NULL,
    public_key BYTEA NOT NULL,
    sealed_private_key BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, ordinal),
    UNIQUE (tenant_id, kid)
);
