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
    name: "automation",
    control: &[Migration {
        version: 1,
        name: "added servers",
        sql: include_str!("../migrations/sqlite/0001_automation.sql"),
    }],
    tenant: &[],
};

/// What this crate stores in PostgreSQL, for `PgKernel::install` and `PgKernel::connect`.
#[cfg(feature = "postgres")]
pub const POSTGRES_MIGRATIONS: Migrations = Migrations {
    name: "automation",
    control: &[Migration {
        version: 1,
        name: "added servers",
        sql: include_str!("../migrations/postgres/0001_automation.sql"),
    }],
    tenant: &[],
};

/// What is written beside a change, in its transaction: `server.add` of `server/time` becomes an audit record of
/// that name and the event `server.added.v1` about `time`.
pub(crate) struct Change {
    pub(crate) event: Event,
    pub(crate) record: AuditRecord,
}

impl Change {
    /// `done` is the event's word for it. `data` holds no secret; the scope's reason is added to the record.
    pub(crate) fn new(
        scope: &PlatformScope,
        (verb, done): (&'static str, &'static str),
        server: &str,
        data: Value,
    ) -> Self {
        let event = Event::new(format!("server.{done}.v1"), "/servers", data.clone());
        let detail = json!({ "reason": scope.reason(), "server": data });
        let record = AuditRecord::administered(scope, format!("server.{verb}"), format!("server/{server}"));
        Self { event: event.with_subject(server), record: record.with_detail(detail) }
    }
}

/// A stored row that does not parse.
pub(crate) fn damaged(
    operation: &'static str,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    Error::new(ErrorKind::Corrupted, operation, "a stored row is damaged").with_source(error)
}
