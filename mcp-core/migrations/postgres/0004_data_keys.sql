-- The data keys of tenants, wrapped. They stand above the tenants' data, so that a copy of that data holds none
-- of them. A destroyed key leaves its row: nothing is ever sealed for that tenant again.
CREATE TABLE data_key (
    tenant_id TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL CHECK (version > 0),
    wrapping_key TEXT NOT NULL,
    wrapped BYTEA,
    check_value BYTEA,
    created_at BIGINT NOT NULL,
    destroyed_at BIGINT,
    PRIMARY KEY (tenant_id, version),
    CHECK ((wrapped IS NULL) = (destroyed_at IS NOT NULL)),
    CHECK ((check_value IS NULL) = (destroyed_at IS NOT NULL))
);
