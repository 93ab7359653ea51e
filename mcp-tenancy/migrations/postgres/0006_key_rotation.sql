-- Every default is what the rows of older programs mean, which go on reading and writing their columns.
ALTER TABLE signing_key ADD COLUMN algorithm TEXT NOT NULL DEFAULT 'EdDSA';
ALTER TABLE signing_key ADD COLUMN active_from BIGINT NOT NULL DEFAULT 0;
ALTER TABLE signing_key ADD COLUMN signs_until BIGINT;
ALTER TABLE signing_key ADD COLUMN verifies_until BIGINT;

ALTER TABLE api_key ADD COLUMN previous_digest BYTEA;
ALTER TABLE api_key ADD COLUMN previous_until BIGINT;
ALTER TABLE api_key ADD COLUMN rotated_at BIGINT;
ALTER TABLE api_key ADD COLUMN last_used_at BIGINT;

-- A lineage of refresh tokens: of each only the newest, and the one before it for a while, can be redeemed.
CREATE TABLE refresh_family (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    tenant_id TEXT COLLATE "C" NOT NULL,
    principal_id TEXT COLLATE "C" NOT NULL,
    principal_kind TEXT NOT NULL,
    permissions TEXT NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    tag_key BYTEA NOT NULL,
    digest BYTEA NOT NULL,
    previous_digest BYTEA,
    nonce BYTEA,
    generation BIGINT NOT NULL,
    rotated_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE INDEX refresh_family_of_principal ON refresh_family (tenant_id, principal_id, rotated_at);

-- A subject names one principal of one tenant, so it is unique across all.
CREATE TABLE certificate_identity (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    tenant_id TEXT COLLATE "C" NOT NULL,
    name TEXT NOT NULL,
    subject TEXT COLLATE "C" NOT NULL UNIQUE,
    principal_id TEXT COLLATE "C" NOT NULL,
    principal_kind TEXT NOT NULL,
    permissions TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT
);
CREATE INDEX certificate_identity_of_tenant ON certificate_identity (tenant_id, id);
