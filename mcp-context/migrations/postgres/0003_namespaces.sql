-- Each change of a namespace's memories gets the next number, so that an index of their vectors can follow them.
CREATE TABLE memory_namespace (
    tenant_id TEXT COLLATE "C" NOT NULL,
    namespace TEXT COLLATE "C" NOT NULL,
    version   BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, namespace)
);

-- The version in which a memory came; 0 if that was before there were versions.
ALTER TABLE memory ADD COLUMN version BIGINT NOT NULL DEFAULT 0;
CREATE INDEX memory_by_version ON memory (tenant_id, namespace, version);

-- What was forgotten in the last versions.
CREATE TABLE memory_forgotten (
    tenant_id TEXT COLLATE "C" NOT NULL,
    namespace TEXT COLLATE "C" NOT NULL,
    version   BIGINT NOT NULL,
    id        TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, namespace, version)
);
