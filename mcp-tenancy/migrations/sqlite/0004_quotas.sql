CREATE TABLE quota_limit (
    tenant_id TEXT NOT NULL,
    subject TEXT NOT NULL,
    meter TEXT NOT NULL,
    period TEXT NOT NULL,
    amount INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, subject, meter, period)
) STRICT, WITHOUT ROWID;
