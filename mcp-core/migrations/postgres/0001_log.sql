-- A sequence's values are taken before the commit, so `seq` alone would let a reader skip rows: readers take
-- rows of transactions below the snapshot's horizon, in the order (xid, seq).
CREATE TABLE outbox (
    tenant_id  TEXT   NOT NULL,
    seq        BIGINT NOT NULL GENERATED ALWAYS AS IDENTITY,
    xid        XID8   NOT NULL DEFAULT pg_current_xact_id(),
    id         TEXT   NOT NULL,
    envelope   TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, seq),
    UNIQUE (tenant_id, id)
);
CREATE INDEX outbox_in_commit_order ON outbox (xid, seq);

CREATE TABLE audit (
    tenant_id     TEXT   NOT NULL,
    seq           BIGINT NOT NULL GENERATED ALWAYS AS IDENTITY,
    id            TEXT   NOT NULL,
    time          BIGINT NOT NULL,
    actor         TEXT   NOT NULL,
    action        TEXT   NOT NULL,
    resource      TEXT   NOT NULL,
    outcome       TEXT   NOT NULL,
    request_id    TEXT   NOT NULL,
    detail        TEXT,
    detail_digest BYTEA  NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX audit_by_tenant ON audit (tenant_id, seq);

-- What the sealer has not linked yet. A queue rather than a position in `audit`: transaction ids begin anew
-- when a dump is restored into another cluster, and a position would then skip what comes after.
CREATE TABLE audit_pending (
    tenant_id TEXT   NOT NULL,
    xid       XID8   NOT NULL DEFAULT pg_current_xact_id(),
    seq       BIGINT NOT NULL,
    record_id TEXT   NOT NULL,
    PRIMARY KEY (tenant_id, record_id)
);
CREATE INDEX audit_pending_in_commit_order ON audit_pending (xid, seq);

CREATE TABLE audit_seal (
    tenant_id  TEXT   NOT NULL,
    seq        BIGINT NOT NULL,
    record_id  TEXT   NOT NULL,
    record_seq BIGINT NOT NULL,
    prev_hash  BYTEA  NOT NULL,
    hash       BYTEA  NOT NULL,
    sealed_at  BIGINT NOT NULL,
    fence      BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, seq),
    UNIQUE (tenant_id, record_id)
);

CREATE TABLE audit_checkpoint (
    tenant_id TEXT   NOT NULL,
    seq       BIGINT NOT NULL,
    hash      BYTEA  NOT NULL,
    time      BIGINT NOT NULL,
    key_id    TEXT   NOT NULL,
    signature BYTEA  NOT NULL,
    PRIMARY KEY (tenant_id, seq)
);
