CREATE TABLE role (
    tenant_id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    description TEXT NOT NULL,
    permissions TEXT NOT NULL,
    inherits TEXT NOT NULL,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, name)
);

CREATE TABLE role_holder (
    tenant_id TEXT COLLATE "C" NOT NULL,
    principal_id TEXT COLLATE "C" NOT NULL,
    role TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, principal_id, role)
);
CREATE INDEX role_holder_by_role ON role_holder (tenant_id, role, principal_id);

CREATE TABLE policy_version (
    tenant_id TEXT COLLATE "C" NOT NULL,
    version BIGINT NOT NULL,
    language TEXT NOT NULL,
    text TEXT NOT NULL,
    data TEXT NOT NULL,
    note TEXT NOT NULL,
    author TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    validated_at BIGINT,
    PRIMARY KEY (tenant_id, version)
);

-- One row for each tenant that ever had a policy. `last` outlives the versions that are pruned, so that a
-- number never means two texts; `active` is 0 where none is.
CREATE TABLE policy_state (
    tenant_id TEXT COLLATE "C" NOT NULL,
    last BIGINT NOT NULL,
    active BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id)
);
