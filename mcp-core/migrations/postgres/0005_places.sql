-- The region of a tenant whose data lives in the databases of one. Whether that place is ready stands here and not in
-- `placement`: a program that knows no regions sees a place that is never ready, and so puts nothing into the wrong one.
CREATE TABLE placement_region (
    tenant_id TEXT NOT NULL PRIMARY KEY,
    region TEXT NOT NULL,
    ready BOOLEAN NOT NULL DEFAULT FALSE
);

-- Places that nothing begins in any more. A row stays for ever, so that its names are never given again. `counted`
-- is what was in it, as JSON, from before the first of it is erased.
CREATE TABLE closed_placement (
    tenant_id TEXT NOT NULL PRIMARY KEY,
    mode TEXT NOT NULL,
    schema_name TEXT NOT NULL UNIQUE,
    region TEXT,
    closed_at BIGINT NOT NULL,
    counted TEXT,
    erased_at BIGINT
);
