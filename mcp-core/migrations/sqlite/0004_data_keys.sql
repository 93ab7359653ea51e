-- The data keys of tenants, wrapped. They stand above the tenants' data, so that a copy of that data holds none
-- of them. A destroyed key leaves its row: nothing is ever sealed for that tenant again.
CREATE TABLE data_key (
    tenant_id TEXT NOT NULL,
    version INTEGER NOT NULL CHECK (version > 0),
    wrapping_key TEXT NOT NULL,
    wrapped BLOB,
    check_value BLOB,
    created_at INTEGER NOT NULL,
    destroyed_at INTEGER,
    PRIMARY KEY (tenant_id, version),
    CHECK ((wrapped IS NULL) = (destroyed_at IS NOT NULL)),
    CHECK ((check_value IS NULL) = (destroyed_at IS NOT NULL))
) STRICT, WITHOUT ROWID;
