//! The audit log: what was changed or denied, by whom, in a chain that shows every removal and alteration.
//!
//! Records are written in the transaction of the change they speak of, unchained, so that writers do not
//! queue ([`AuditRecord`], `TenantTx::audit`); denials are written in groups ([`GroupedDenials`]). One
//! [`Sealer`] links them afterwards, in commit order, and signs checkpoints that leave the database.
//! [`verify`] recomputes every link and compares it with those checkpoints; [`list`] shows a tenant its
//! own records.

#[cfg(feature = "sql")]
mod chain_tx;
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
