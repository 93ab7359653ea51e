CREATE TABLE memory (
    tenant_id TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    namespace TEXT COLLATE "C" NOT NULL,
    digest BYTEA NOT NULL,
    text TEXT NOT NULL,
    metadata TEXT NOT NULL,
    author TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    model TEXT COLLATE "C",
    vector BYTEA,
    words TSVECTOR NOT NULL GENERATED ALWAYS AS (to_tsvector('simple', text)) STORED,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (tenant_id, namespace, digest)
);
CREATE INDEX memory_by_model ON memory (tenant_id, namespace, model, id);
CREATE INDEX memory_by_words ON memory USING gin (words);
