-- What the relay has not published yet. A queue rather than a position, as for the audit log: transaction ids
-- begin anew when a dump is restored into another cluster.
CREATE TABLE outbox_pending (
    tenant_id TEXT   NOT NULL,
    xid       XID8   NOT NULL DEFAULT pg_current_xact_id(),
    seq       BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, seq)
);
CREATE INDEX outbox_pending_in_commit_order ON outbox_pending (xid, seq);

-- What was emitted before there was a relay waits too. Its owner may read it for this moment only.
ALTER TABLE outbox NO FORCE ROW LEVEL SECURITY;
INSERT INTO outbox_pending (tenant_id, xid, seq) SELECT tenant_id, xid, seq FROM outbox;
ALTER TABLE outbox FORCE ROW LEVEL SECURITY;

-- The published events of a tenant, numbered in the order of their commits: 1, 2, 3 …
CREATE TABLE outbox_published (
    tenant_id    TEXT   NOT NULL,
    position     BIGINT NOT NULL,
    seq          BIGINT NOT NULL,
    published_at BIGINT NOT NULL,
    fence        BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, position)
);
