//! The audit log: what was changed or denied, by whom, in a chain that shows every removal and alteration.
//!
//! Records are written in the transaction of the change they speak of, unchained, so that writers do not
//! queue ([`AuditRecord`], `TenantTx::audit`); denials are written in groups ([`GroupedDenials`]). One
//! [`Sealer`] links them afterwards, in commit order, and signs checkpoints that leave the database.
//! [`verify()`] recomputes every link and compares it with those checkpoints; [`list()`] and [`search()`] show
//! a tenant its own records; [`export`] takes the chains elsewhere, as files or as they grow.
//!
//! ```
//! # #[cfg(feature = "sqlite")]
//! # async fn example() -> mcp_core::Result<()> {
//! use std::sync::Arc;
//! use mcp_core::{
//!     audit::{
//!         AuditKey, AuditRecord, AuditStore, Chain, DenialConfig, DenialLog as _, GroupedDenials, Outcome, Sealer,
//!         SealerConfig, SqliteAudit, verify,
//!     },
//!     clock::SystemClock,
//!     lease::SqliteLeases,
//!     sql::sqlite::{SqliteConfig, SqliteKernel},
//! };
//!
//! let directory = tempfile::tempdir().expect("a temporary directory");
//! let (clock, config) = (Arc::new(SystemClock), SqliteConfig::new(directory.path().join("data")));
//! let kernel = SqliteKernel::open(config, &[], clock.clone()).await?;
//! let store: Arc<dyn AuditStore> = Arc::new(SqliteAudit::new(kernel.clone()));
//! let leases = Arc::new(SqliteLeases::new(kernel.clone()));
//! let key = AuditKey::load_or_create(&directory.path().join("audit.key"))?;
//! let checkpoints = directory.path().join("checkpoints.jsonl");
//!
//! let denials = GroupedDenials::start(store.clone(), clock.clone(), DenialConfig::default())?;
//! let sealer = Sealer::start(store.clone(), leases, key.clone(), clock, SealerConfig::new(&checkpoints))?;
//! denials.denied(
//!     Chain::Platform,
//!     AuditRecord {
//!         actor: "anonymous".into(),
//!         action: "auth.denied".into(),
//!         resource: "request".into(),
//!         outcome: Outcome::Denied,
//!         request_id: "r1".into(),
//!         detail: serde_json::json!({ "reason": "no token" }),
//!     },
//! );
//!
//! // At the end: what still writes first, then the sealer, then the kernel.
//! denials.shutdown().await;
//! sealer.shutdown().await;
//! let report = verify(&*store, &checkpoints, &[key.public()]).await?;
//! assert_eq!(report.to_string(), "1 chain, 1 record sealed, 0 not yet sealed: intact");
//! kernel.close().await;
//! # Ok(())
//! # }
//! # #[cfg(feature = "sqlite")]
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(example()).unwrap();
//! ```

#[cfg(feature = "sql")]
pub(crate) mod chain_tx;
mod checkpoint;
mod coalesce;
mod denials;
mod entry;
pub mod export;
mod filter;
mod journal;
mod key;
mod list;
mod logged;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
mod record;
mod report;
#[cfg(feature = "sql")]
mod row;
mod sealer;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;
mod verify;

pub use checkpoint::Checkpoint;
pub use denials::{DenialConfig, GroupedDenials};
pub use entry::{Entry, MAX_DETAIL_BYTES};
pub use filter::AuditFilter;
pub use key::{AuditKey, AuditPublicKey};
pub use list::{AuditPage, AuditQuery, AuditView, MAX_PAGE, list, page, search, search_chain};
pub use logged::LoggedDenials;
pub use memory::MemoryAudit;
#[cfg(feature = "postgres")]
pub use postgres::PgAudit;
pub use record::{AuditRecord, Chain, DenialLog, Outcome};
pub use report::{ChainReport, Problem, ProblemKind, VerifyReport};
pub use sealer::{SEALER_LEASE, SealRound, Sealer, SealerConfig};
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteAudit;
pub use store::{
    AuditStore, Found, Head, MAX_SCAN, Seal, SealOrder, SealedBatch, SealedEntry, Search, StoredEntry, Stray,
    Window,
};
pub use verify::{ERASURE_BEGUN, ERASURE_ENDED, verify};
