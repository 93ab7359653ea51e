CREATE TABLE outbox (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id  TEXT    NOT NULL,
    id         TEXT    NOT NULL UNIQUE,
    envelope   TEXT    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX outbox_by_tenant ON outbox (tenant_id, seq);

CREATE TABLE audit (
    seq           INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id     TEXT    NOT NULL,
    id            TEXT    NOT NULL UNIQUE,
    time          INTEGER NOT NULL,
    actor         TEXT    NOT NULL,
    action        TEXT    NOT NULL,
    resource      TEXT    NOT NULL,
    outcome       TEXT    NOT NULL,
    request_id    TEXT    NOT NULL,
    detail        TEXT,
    detail_digest BLOB    NOT NULL
) STRICT;
CREATE INDEX audit_by_tenant ON audit (tenant_id, seq);

CREATE TABLE audit_seal (
    tenant_id  TEXT    NOT NULL,
    seq        INTEGER NOT NULL,
    record_id  TEXT    NOT NULL UNIQUE,
    record_seq INTEGER NOT NULL,
    prev_hash  BLOB    NOT NULL,
    hash       BLOB    NOT NULL,
    sealed_at  INTEGER NOT NULL,
    fence      INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX audit_seal_by_record ON audit_seal (record_seq);

CREATE TABLE audit_checkpoint (
    tenant_id TEXT    NOT NULL,
    seq       INTEGER NOT NULL,
    hash      BLOB    NOT NULL,
    time      INTEGER NOT NULL,
    key_id    TEXT    NOT NULL,
    signature BLOB    NOT NULL,
    PRIMARY KEY (tenant_id, seq)
) STRICT, WITHOUT ROWID;

-- SQLite has no roles; these stop slips of the platform's own code. An erased detail keeps its digest.
CREATE TRIGGER audit_keep BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'audit records are append-only'); END;
CREATE TRIGGER audit_freeze
BEFORE UPDATE OF seq, tenant_id, id, time, actor, action, resource, outcome, request_id, detail_digest ON audit
BEGIN SELECT RAISE(ABORT, 'audit records are append-only'); END;
CREATE TRIGGER audit_seal_keep BEFORE DELETE ON audit_seal
BEGIN SELECT RAISE(ABORT, 'audit seals are append-only'); END;
CREATE TRIGGER audit_seal_freeze BEFORE UPDATE ON audit_seal
BEGIN SELECT RAISE(ABORT, 'audit seals are append-only'); END;
