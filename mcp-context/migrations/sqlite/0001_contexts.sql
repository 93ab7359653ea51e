CREATE TABLE context (
    tenant_id  TEXT    NOT NULL,
    id         TEXT    NOT NULL,
    user_id    TEXT    NOT NULL,
    session_id TEXT,
    data       TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    messages   INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id)
) STRICT;
CREATE INDEX context_by_user ON context (tenant_id, user_id, id);
CREATE INDEX context_by_session ON context (tenant_id, session_id, id);

CREATE TABLE message (
    tenant_id  TEXT    NOT NULL,
    context_id TEXT    NOT NULL,
    seq        INTEGER NOT NULL,
    role       TEXT    NOT NULL,
    content    TEXT    NOT NULL,
    metadata   TEXT    NOT NULL,
    author     TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, context_id, seq)
) STRICT;

-- What a request with an idempotency key came to, for as long as it may be tried again.
CREATE TABLE context_request (
    tenant_id   TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    fingerprint BLOB    NOT NULL,
    context_id  TEXT    NOT NULL,
    version     INTEGER NOT NULL,
    first_seq   INTEGER NOT NULL,
    last_seq    INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX context_request_by_age ON context_request (tenant_id, created_at);
