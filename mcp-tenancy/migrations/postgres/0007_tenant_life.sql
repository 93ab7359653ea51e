-- A tenant that is deleted or erased has the status `suspended`, which older programs know and refuse; what it is beyond
-- that stands in columns of its own, which they leave as they are.
ALTER TABLE tenant ADD COLUMN parent TEXT COLLATE "C";
ALTER TABLE tenant ADD COLUMN deleted_at BIGINT;
ALTER TABLE tenant ADD COLUMN erase_after BIGINT;
ALTER TABLE tenant ADD COLUMN deleted_from TEXT;
ALTER TABLE tenant ADD COLUMN erasing_at BIGINT;
ALTER TABLE tenant ADD COLUMN erased_at BIGINT;
CREATE INDEX tenant_by_parent ON tenant (parent, id);

-- What an erasure has done, a row each, so that one that is cut short is gone on with. The tenant's id is not named as
-- in the tables whose rows an erasure deletes: these stay.
CREATE TABLE tenant_erasure_step (
    id TEXT COLLATE "C" NOT NULL,
    step TEXT NOT NULL,
    finished_at BIGINT NOT NULL,
    erased TEXT NOT NULL,
    PRIMARY KEY (id, step)
);

CREATE TABLE tenant_receipt (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    receipt TEXT NOT NULL
);
