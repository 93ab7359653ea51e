CREATE TABLE memory (
    row_id     INTEGER PRIMARY KEY,
    tenant_id  TEXT    NOT NULL,
    id         TEXT    NOT NULL,
    namespace  TEXT    NOT NULL,
    digest     BLOB    NOT NULL,
    text       TEXT    NOT NULL,
    metadata   TEXT    NOT NULL,
    author     TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    model      TEXT,
    vector     BLOB,
    UNIQUE (tenant_id, id),
    UNIQUE (tenant_id, namespace, digest)
) STRICT;
CREATE INDEX memory_by_model ON memory (tenant_id, namespace, model, row_id);

-- The words of memories. Kept by triggers, so that no statement can forget it. A row is found by its row_id and
-- shown only through `memory`, whose statements name the tenant.
CREATE VIRTUAL TABLE memory_words USING fts5 (
    text, content = 'memory', content_rowid = 'row_id', tokenize = 'unicode61 remove_diacritics 2'
);
CREATE TRIGGER memory_words_added AFTER INSERT ON memory
BEGIN INSERT INTO memory_words (rowid, text) VALUES (new.row_id, new.text); END;
CREATE TRIGGER memory_words_removed AFTER DELETE ON memory
BEGIN INSERT INTO memory_words (memory_words, rowid, text) VALUES ('delete', old.row_id, old.text); END;
