//! The SQL kernel: transactions that hold a tenant's state, events and audit records together.
//!
//! Storage is reached through a [`TenantTx`] (one tenant's data; begun *for* that tenant) or a [`ControlTx`]
//! (the tables above tenants), never through a pool. The kernels `sqlite::SqliteKernel` and
//! `postgres::PgKernel` have the same methods and mean the same; backends in memory stand beside the stores, not here; statements are written per backend, on
//! `tx.conn()`, and always name the tenant.
//!
//! # What a kernel promises
//! 1. A begun transaction belongs to the tenant of its scope, whatever the connection did before.
//! 2. State, event and audit record are committed together or not at all.
//! 3. Dropping a transaction rolls it back; dropping any future of the kernel leaves none open.
//! 4. A commit that was started is finished, whoever stops waiting for it.
//! 5. Tenants do not see each other's rows, in any isolation mode.
//! 6. A read sees one consistent state and cannot write.
//! 7. A tenant without a placement is not found, and gets nothing made for it.
//! 8. Provisioning may be repeated, raced and interrupted.
//! 9. Migrations are applied once, also when two processes start at the same moment.
//! 10. A deadline that has passed begins nothing.
//!
//! The suite in `conformance` (feature `conformance`) has a test for each.
//!
//! # Use from another crate
//! ```
//! # #[cfg(feature = "sqlite")]
//! # async fn example() -> mcp_core::Result<()> {
//! use std::sync::Arc;
//! use mcp_core::{
//!     audit::AuditRecord,
//!     clock::SystemClock,
//!     event::Event,
//!     scope::{Permissions, PlatformScope, Principal, PrincipalId, PrincipalKind, Scope, TenantId},
//!     sql::{IsolationMode, Migration, Migrations, OrFault as _, sqlite::{SqliteConfig, SqliteKernel}},
//! };
//!
//! // What the crate stores: per backend, usually with `include_str!`.
//! const MIGRATIONS: Migrations = Migrations {
//!     name: "notes",
//!     control: &[],
//!     tenant: &[Migration {
//!         version: 1,
//!         name: "notes",
//!         sql: "CREATE TABLE note (tenant_id TEXT NOT NULL, id TEXT NOT NULL, text TEXT NOT NULL,
//!                                  PRIMARY KEY (tenant_id, id)) STRICT, WITHOUT ROWID;",
//!     }],
//! };
//!
//! let directory = tempfile::tempdir().expect("a temporary directory");
//! let config = SqliteConfig::new(directory.path());
//! let kernel = SqliteKernel::open(config, &[MIGRATIONS], Arc::new(SystemClock)).await?;
//!
//! // Above tenants: create one, with a place for its data.
//! let acme = TenantId::parse("acme")?;
//! let platform = PlatformScope::new(PrincipalId::parse("operator")?, "a new customer");
//! let mut tx = kernel.control(&platform).await?;
//! kernel.place(&mut tx, &acme, IsolationMode::Database, None).await?;
//! tx.audit(AuditRecord::administered(&platform, "tenant.create", "tenant/acme")).await?;
//! tx.commit().await?;
//! kernel.provision(&platform, &acme).await?;
//!
//! // Within the tenant.
//! let principal =
//!     Principal { id: PrincipalId::parse("u1")?, kind: PrincipalKind::User, permissions: Permissions::default() };
//! let scope = Scope::new(acme, Arc::new(principal));
//! let mut tx = kernel.begin(&scope).await?;
//! sqlx::query("INSERT INTO note (tenant_id, id, text) VALUES (?, ?, ?)")
//!     .bind(scope.tenant().as_str())
//!     .bind("n1")
//!     .bind("hello")
//!     .execute(tx.conn())
//!     .await
//!     .or_fault("note.create")?;
//! tx.emit(Event::new("note.created.v1", "/notes", serde_json::json!({})).with_subject("n1")).await?;
//! tx.audit(AuditRecord::done(&scope, "note.create", "note/n1")).await?;
//! tx.commit().await?;
//!
//! let mut read = kernel.read(&scope).await?;
//! let text: String = sqlx::query_scalar("SELECT text FROM note WHERE tenant_id = ? AND id = ?")
//!     .bind(scope.tenant().as_str())
//!     .bind("n1")
//!     .fetch_one(read.conn())
//!     .await
//!     .or_fault("note.read")?;
//! assert_eq!(text, "hello");
//! # drop(read);
//! # kernel.close().await;
//! # Ok(())
//! # }
//! # #[cfg(feature = "sqlite")]
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(example()).unwrap();
//! ```

mod begin;
mod begun;
mod cached;
mod fault;
pub(crate) mod ident;
mod isolation;
mod migrations;
pub(crate) mod placement;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod tx;

pub use crate::scope::SchemaName;
pub(crate) use begun::Begun;
pub use fault::{OrFault, fault};
pub use isolation::IsolationMode;
pub use migrations::{Migration, Migrations};
pub use placement::Placement;
pub use tx::{Backend, ControlRead, ControlTx, TenantRead, TenantTx};
