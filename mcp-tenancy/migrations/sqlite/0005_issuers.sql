-- One row for each stream of changes (1: issuers, 2: revocations), which every change updates first: so revisions
-- become visible in their order.
CREATE TABLE auth_revision (
    slot INTEGER NOT NULL PRIMARY KEY CHECK (slot IN (1, 2)),
    last INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO auth_revision (slot, last) VALUES (1, 0), (2, 0);

-- An empty tenant is that of a shared issuer. What is removed stays as a row without a secret, so that replicas
-- hear of it.
CREATE TABLE issuer (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    url TEXT NOT NULL,
    kind TEXT NOT NULL,
    spec TEXT NOT NULL,
    sealed_secret BLOB,
    removed INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    revision INTEGER NOT NULL UNIQUE
) STRICT, WITHOUT ROWID;
CREATE INDEX issuer_by_url ON issuer (url);
CREATE INDEX issuer_of_tenant ON issuer (tenant_id, id);

-- Tokens refused before they expire. An empty issuer and token id stand for every token of the tenant that was
-- issued until then.
CREATE TABLE token_revocation (
    tenant_id TEXT NOT NULL,
    issuer TEXT NOT NULL,
    token_id TEXT NOT NULL,
    until_at INTEGER NOT NULL,
    revision INTEGER NOT NULL UNIQUE,
    PRIMARY KEY (tenant_id, issuer, token_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX token_revocation_end ON token_revocation (until_at);
