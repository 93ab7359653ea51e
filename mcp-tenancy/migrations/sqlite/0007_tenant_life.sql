-- A tenant that is deleted or erased has the status `suspended`, which older programs know and refuse; what it is beyond
-- that stands in columns of its own, which they leave as they are.
ALTER TABLE tenant ADD COLUMN parent TEXT;
ALTER TABLE tenant ADD COLUMN deleted_at INTEGER;
ALTER TABLE tenant ADD COLUMN erase_after INTEGER;
ALTER TABLE tenant ADD COLUMN deleted_from TEXT;
ALTER TABLE tenant ADD COLUMN erasing_at INTEGER;
ALTER TABLE tenant ADD COLUMN erased_at INTEGER;
CREATE INDEX tenant_by_parent ON tenant (parent, id);

-- What an erasure has done, a row each, so that one that is cut short is gone on with. The tenant's id is not named as
-- in the tables whose rows an erasure deletes: these stay.
CREATE TABLE tenant_erasure_step (
    id TEXT NOT NULL,
    step TEXT NOT NULL,
    finished_at INTEGER NOT NULL,
    erased TEXT NOT NULL,
    PRIMARY KEY (id, step)
) STRICT, WITHOUT ROWID;

CREATE TABLE tenant_receipt (
    id TEXT NOT NULL PRIMARY KEY,
    receipt TEXT NOT NULL
) STRICT, WITHOUT ROWID;
