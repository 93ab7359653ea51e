CREATE TABLE role (
    tenant_id   TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    description TEXT    NOT NULL,
    permissions TEXT    NOT NULL,
    inherits    TEXT    NOT NULL,
    version     INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE role_holder (
    tenant_id    TEXT NOT NULL,
    principal_id TEXT NOT NULL,
    role         TEXT NOT NULL,
    PRIMARY KEY (tenant_id, principal_id, role)
) STRICT, WITHOUT ROWID;
CREATE INDEX role_holder_by_role ON role_holder (tenant_id, role, principal_id);

CREATE TABLE policy_version (
    tenant_id    TEXT    NOT NULL,
    version      INTEGER NOT NULL,
    language     TEXT    NOT NULL,
    text         TEXT    NOT NULL,
    data         TEXT    NOT NULL,
    note         TEXT    NOT NULL,
    author       TEXT    NOT NULL,
    created_at   INTEGER NOT NULL,
    validated_at INTEGER,
    PRIMARY KEY (tenant_id, version)
) STRICT;

-- One row for each tenant that ever had a policy. `last` outlives the versions that are pruned, so that a
-- number never means two texts; `active` is 0 where none is.
CREATE TABLE policy_state (
    tenant_id  TEXT    NOT NULL,
    last       INTEGER NOT NULL,
    active     INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id)
) STRICT, WITHOUT ROWID;
