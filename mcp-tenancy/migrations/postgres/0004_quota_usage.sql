-- One row for each thing counted, however long: the latest period it was counted in.
CREATE TABLE quota_counter (
    tenant_id TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    meter TEXT COLLATE "C" NOT NULL,
    period TEXT COLLATE "C" NOT NULL,
    starts_at BIGINT NOT NULL,
    used BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, subject, meter, period)
);
CREATE INDEX quota_counter_by_age ON quota_counter (tenant_id, starts_at);

-- `charges` names the counters that `amount` was counted in; `actual` is set once it is settled.
CREATE TABLE quota_reservation (
    tenant_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    meter TEXT COLLATE "C" NOT NULL,
    amount BIGINT NOT NULL,
    charges TEXT NOT NULL,
    actual BIGINT,
    settle_by BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX quota_reservation_by_age ON quota_reservation (tenant_id, settle_by);
