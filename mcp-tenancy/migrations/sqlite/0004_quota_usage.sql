-- One row for each thing counted, however long: the latest period it was counted in.
CREATE TABLE quota_counter (
    tenant_id TEXT NOT NULL,
    subject TEXT NOT NULL,
    meter TEXT NOT NULL,
    period TEXT NOT NULL,
    starts_at INTEGER NOT NULL,
    used INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, subject, meter, period)
) STRICT, WITHOUT ROWID;
CREATE INDEX quota_counter_by_age ON quota_counter (tenant_id, starts_at);

-- `charges` names the counters that `amount` was counted in; `actual` is set once it is settled.
CREATE TABLE quota_reservation (
    tenant_id TEXT NOT NULL,
    id TEXT NOT NULL,
    meter TEXT NOT NULL,
    amount INTEGER NOT NULL,
    charges TEXT NOT NULL,
    actual INTEGER,
    settle_by INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX quota_reservation_by_age ON quota_reservation (tenant_id, settle_by);
