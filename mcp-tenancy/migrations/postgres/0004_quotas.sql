CREATE TABLE quota_limit (
    tenant_id TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    meter TEXT COLLATE "C" NOT NULL,
    period TEXT COLLATE "C" NOT NULL,
    amount BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, subject, meter, period)
);
