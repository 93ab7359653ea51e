//! What both SQL backends share: the migrations.

use mcp_core::{
    Error, ErrorKind,
    sql::{Migration, Migrations},
};

/// What this crate stores in SQLite, for `SqliteKernel::open`.
#[cfg(feature = "sqlite")]
pub const SQLITE_MIGRATIONS: Migrations = Migrations {
    name: "context",
    control: &[],
    tenant: &[
        Migration {
            version: 1,
            name: "contexts, messages",
            sql: include_str!("../migrations/sqlite/0001_contexts.sql"),
        },
        Migration {
            version: 2,
            name: "memories",
            sql: include_str!("../migrations/sqlite/0002_memories.sql"),
        },
        Migration {
            version: 3,
            name: "versions of namespaces",
            sql: include_str!("../migrations/sqlite/0003_namespaces.sql"),
        },
    ],
};

/// What this crate stores in PostgreSQL, for `PgKernel::install` and `PgKernel::connect`.
#[cfg(feature = "postgres")]
pub const POSTGRES_MIGRATIONS: Migrations = Migrations {
    name: "context",
    control: &[],
    tenant: &[
        Migration {
            version: 1,
            name: "contexts, messages",
            sql: include_str!("../migrations/postgres/0001_contexts.sql"),
        },
        Migration {
            version: 2,
            name: "memories",
            sql: include_str!("../migrations/postgres/0002_memories.sql"),
        },
        Migration {
            version: 3,
            name: "versions of namespaces",
            sql: include_str!("../migrations/postgres/0003_namespaces.sql"),
        },
    ],
};

/// A stored row that does not parse.
pub(crate) fn damaged(
    operation: &'static str,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    Error::new(ErrorKind::Corrupted, operation, "a stored row is damaged").with_source(error)
}
