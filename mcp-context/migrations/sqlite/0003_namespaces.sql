-- Each change of a namespace's memories gets the next number, so that an index of their vectors can follow them.
CREATE TABLE memory_namespace (
    tenant_id TEXT    NOT NULL,
    namespace TEXT    NOT NULL,
    version   INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, namespace)
) STRICT, WITHOUT ROWID;

-- The version in which a memory came; 0 if that was before there were versions.
ALTER TABLE memory ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
-- Vectors are read in the order of ids.
DROP INDEX memory_by_model;
CREATE INDEX memory_by_model ON memory (tenant_id, namespace, model, id);
CREATE INDEX memory_by_version ON memory (tenant_id, namespace, version);

-- What was forgotten in the last versions.
CREATE TABLE memory_forgotten (
    tenant_id TEXT    NOT NULL,
    namespace TEXT    NOT NULL,
    version   INTEGER NOT NULL,
    id        TEXT    NOT NULL,
    PRIMARY KEY (tenant_id, namespace, version)
) STRICT, WITHOUT ROWID;
