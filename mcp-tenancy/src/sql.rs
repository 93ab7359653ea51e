//! What both SQL backends share: the migrations, and what is written beside every change.

use mcp_core::{
    Error, ErrorKind, PlatformScope,
    audit::AuditRecord,
    event::Event,
    sql::{Migration, Migrations},
};
use serde_json::{Value, json};

/// What this crate stores in SQLite, for `SqliteKernel::open`.
#[cfg(feature = "sqlite")]
pub const SQLITE_MIGRATIONS: Migrations = Migrations {
    name: "tenancy",
    control: &[
        Migration {
            version: 1,
            name: "tenants, keys, signing keys",
            sql: include_str!("../migrations/sqlite/0001_tenancy.sql"),
        },
        Migration {
            version: 2,
            name: "operator keys",
            sql: include_str!("../migrations/sqlite/0002_operator_keys.sql"),
        },
        Migration { version: 4, name: "quotas", sql: include_str!("../migrations/sqlite/0004_quotas.sql") },
        Migration {
            version: 5,
            name: "issuers, revocations",
            sql: include_str!("../migrations/sqlite/0005_issuers.sql"),
        },
        Migration {
            version: 6,
            name: "rotation of keys, refresh tokens, certificates",
            sql: include_str!("../migrations/sqlite/0006_key_rotation.sql"),
        },
        Migration {
            version: 7,
            name: "deletion, erasure and hierarchy of tenants",
            sql: include_str!("../migrations/sqlite/0007_tenant_life.sql"),
        },
    ],
    tenant: &[
        Migration {
            version: 3,
            name: "roles, policies",
            sql: include_str!("../migrations/sqlite/0003_policy.sql"),
        },
        Migration {
            version: 4,
            name: "what was used of quotas",
            sql: include_str!("../migrations/sqlite/0004_quota_usage.sql"),
        },
    ],
};

/// What this crate stores in PostgreSQL, for `PgKernel::install` and `PgKernel::connect`.
#[cfg(feature = "postgres")]
pub const POSTGRES_MIGRATIONS: Migrations = Migrations {
    name: "tenancy",
    control: &[
        Migration {
            version: 1,
            name: "tenants, keys, signing keys",
            sql: include_str!("../migrations/postgres/0001_tenancy.sql"),
        },
        Migration {
            version: 2,
            name: "operator keys",
            sql: include_str!("../migrations/postgres/0002_operator_keys.sql"),
        },
        Migration { version: 4, name: "quotas", sql: include_str!("../migrations/postgres/0004_quotas.sql") },
        Migration {
            version: 5,
            name: "issuers, revocations",
            sql: include_str!("../migrations/postgres/0005_issuers.sql"),
        },
        Migration {
            version: 6,
            name: "rotation of keys, refresh tokens, certificates",
            sql: include_str!("../migrations/postgres/0006_key_rotation.sql"),
        },
        Migration {
            version: 7,
            name: "deletion, erasure and hierarchy of tenants",
            sql: include_str!("../migrations/postgres/0007_tenant_life.sql"),
        },
    ],
    tenant: &[
        Migration {
            version: 3,
            name: "roles, policies",
            sql: include_str!("../migrations/postgres/0003_policy.sql"),
        },
        Migration {
            version: 4,
            name: "what was used of quotas",
            sql: include_str!("../migrations/postgres/0004_quota_usage.sql"),
        },
    ],
};

/// What is written beside a change, in its transaction: `tenant.suspend` of `tenant/acme` becomes an audit
/// record of that name and the event `tenant.suspended.v1` about `acme`.
pub(crate) struct Change {
    pub(crate) event: Event,
    pub(crate) record: AuditRecord,
}

impl Change {
    /// `done` is the event's word for it. `data` holds no secret; the scope's reason is added to the record.
    pub(crate) fn new(
        scope: &PlatformScope,
        (area, verb, done): (&'static str, &'static str, &'static str),
        subject: &str,
        data: Value,
    ) -> Self {
        let event = Event::new(format!("{area}.{done}.v1"), format!("/{area}s"), data.clone());
        let detail = json!({ "reason": scope.reason(), area: data });
        let resource = format!("{area}/{subject}");
        let record = AuditRecord::administered(scope, format!("{area}.{verb}"), resource).with_detail(detail);
        Self { event: event.with_subject(subject), record }
    }
}

/// A stored row that does not parse.
pub(crate) fn damaged(
    operation: &'static str,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    Error::new(ErrorKind::Corrupted, operation, "a stored row is damaged").with_source(error)
}
