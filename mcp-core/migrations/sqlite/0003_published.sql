-- The published events of a tenant, numbered in the order of their commits: 1, 2, 3 … What waits is what stands
-- behind the last of them in the outbox. The last one is kept when others are pruned.
CREATE TABLE outbox_published (
    tenant_id    TEXT    NOT NULL,
    position     INTEGER NOT NULL,
    seq          INTEGER NOT NULL,
    published_at INTEGER NOT NULL,
    fence        INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, position)
) STRICT, WITHOUT ROWID;
