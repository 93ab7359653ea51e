//! The audit log: what was changed or denied, by whom, in a chain that shows every removal and alteration.
//!
//! Records are written in the transaction of the change they speak of, unchained, so that writers do not
//! queue ([`AuditRecord`], `TenantTx::audit`); denials are written in groups ([`GroupedDenials`]). One
//! [`Sealer`] links them afterwards, in commit order, and signs checkpoints that leave the database.
//! [`verify()`] recomputes every link and compares it with those checkpoints; [`list()`] shows a tenant its
//! own records.
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
#[cfg(feature = "sql")]
mod checkpoint;
#[cfg(feature = "sql")]
mod coalesce;
#[cfg(feature = "sql")]
mod denials;
#[cfg(feature = "sql")]
mod entry;
#[cfg(feature = "sql")]
mod journal;
#[cfg(feature = "sql")]
mod key;
#[cfg(feature = "sql")]
mod list;
mod logged;
#[cfg(feature = "postgres")]
mod postgres;
mod record;
#[cfg(feature = "sql")]
mod report;
#[cfg(feature = "sql")]
mod row;
#[cfg(feature = "sql")]
mod sealer;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(feature = "sql")]
mod store;
#[cfg(feature = "sql")]
mod verify;

#[cfg(feature = "sql")]
pub use checkpoint::Checkpoint;
#[cfg(feature = "sql")]
pub use denials::{DenialConfig, GroupedDenials};
#[cfg(feature = "sql")]
pub use entry::{Entry, MAX_DETAIL_BYTES};
#[cfg(feature = "sql")]
pub use key::{AuditKey, AuditPublicKey};
#[cfg(feature = "sql")]
pub use list::{AuditPage, AuditQuery, AuditView, MAX_PAGE, list, page};
pub use logged::LoggedDenials;
#[cfg(feature = "postgres")]
pub use postgres::PgAudit;
pub use record::{AuditRecord, Chain, DenialLog, Outcome};
#[cfg(feature = "sql")]
pub use report::{ChainReport, Problem, ProblemKind, VerifyReport};
#[cfg(feature = "sql")]
pub use sealer::{SEALER_LEASE, SealRound, Sealer, SealerConfig};
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteAudit;
#[cfg(feature = "sql")]
pub use store::{AuditStore, Head, Seal, SealOrder, SealedBatch, SealedEntry, StoredEntry, Stray, Window};
#[cfg(feature = "sql")]
pub use verify::verify;
