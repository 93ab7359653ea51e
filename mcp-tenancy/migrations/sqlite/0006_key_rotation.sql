-- Every default is what the rows of older programs mean, which go on reading and writing their columns.
ALTER TABLE signing_key ADD COLUMN algorithm TEXT NOT NULL DEFAULT 'EdDSA';
ALTER TABLE signing_key ADD COLUMN active_from INTEGER NOT NULL DEFAULT 0;
ALTER TABLE signing_key ADD COLUMN signs_until INTEGER;
ALTER TABLE signing_key ADD COLUMN verifies_until INTEGER;

ALTER TABLE api_key ADD COLUMN previous_digest BLOB;
ALTER TABLE api_key ADD COLUMN previous_until INTEGER;
ALTER TABLE api_key ADD COLUMN rotated_at INTEGER;
ALTER TABLE api_key ADD COLUMN last_used_at INTEGER;

-- A lineage of refresh tokens: of each only the newest, and the one before it for a while, can be redeemed.
CREATE TABLE refresh_family (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    principal_id TEXT NOT NULL,
    principal_kind TEXT NOT NULL,
    permissions TEXT NOT NULL,
    key_id TEXT NOT NULL,
    tag_key BLOB NOT NULL,
    digest BLOB NOT NULL,
    previous_digest BLOB,
    nonce BLOB,
    generation INTEGER NOT NULL,
    rotated_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX refresh_family_of_principal ON refresh_family (tenant_id, principal_id, rotated_at);

-- A subject names one principal of one tenant, so it is unique across all.
CREATE TABLE certificate_identity (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    name TEXT NOT NULL,
    subject TEXT NOT NULL UNIQUE,
    principal_id TEXT NOT NULL,
    principal_kind TEXT NOT NULL,
    permissions TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX certificate_identity_of_tenant ON certificate_identity (tenant_id, id);
