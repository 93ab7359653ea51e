//! The chains, taken elsewhere: as JSON lines, in the Open Cybersecurity Schema, or as syslog messages.
//!
//! What is exported is what has been sealed, in the order of the chain. A place in it is the number of a link:
//! an [`Export`] goes on from the last one that arrived, a page at a time, so that a chain of any length needs
//! the memory of one page. A [`Forwarder`] does that for all chains as they grow, to an [`AuditSink`].
//!
//! JSON lines hold all that [`ExportVerifier`] needs to recompute the chain from them alone:
//!
//! ```
//! # async fn example() -> mcp_core::Result<()> {
//! use std::sync::Arc;
//! use mcp_core::{
//!     PlatformScope,
//!     audit::{
//!         AuditKey, AuditRecord, AuditStore, Chain, Entry, MemoryAudit, SealOrder,
//!         export::{Export, ExportVerifier},
//!     },
//!     clock::Timestamp,
//!     scope::PrincipalId,
//! };
//!
//! # let scope = PlatformScope::new(PrincipalId::parse("operator")?, "an example");
//! # let (key, store) = (AuditKey::ephemeral()?, Arc::new(MemoryAudit::new()));
//! # let record = AuditRecord::administered(&scope, "tenant.create", "tenant/acme");
//! # let now = Timestamp::from_micros(1_800_000_000_000_000);
//! # store.append(&scope, &Chain::Platform, &[Entry::new(record, now)?]).await?;
//! # store.seal(&scope, &Chain::Platform, &SealOrder { fence: 1, now, limit: 9, key: &key }).await?;
//! let mut export = Export::new(store, scope, Chain::Platform, 0);
//! let mut verifier = ExportVerifier::new(&[key.public()]);
//! while let Some(page) = export.next().await? {
//!     for line in page.json_lines()?.lines() {
//!         verifier.line(line.as_bytes());
//!     }
//! }
//! assert_eq!(verifier.finish().to_string(), "1 chain, 1 record sealed, 0 not yet sealed: intact");
//! # Ok(())
//! # }
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(example()).unwrap();
//! ```

mod forward;
mod line;
mod ocsf;
mod position;
mod stream;
mod syslog;
#[cfg(feature = "syslog")]
mod tls;
mod verify;

pub use forward::{AuditSink, FORWARDER_LEASE, ForwardRound, Forwarder, ForwarderConfig};
pub use ocsf::{OCSF_VERSION, Product, ocsf};
pub use position::{FilePositions, MemoryPositions, Positions};
pub use stream::{Export, ExportPage, Format, MAX_EXPORT_PAGE, lines};
pub use syslog::{SyslogFormat, frame};
#[cfg(feature = "syslog")]
pub use tls::{Receipt, SyslogTls, SyslogTlsConfig};
pub use verify::{ExportVerifier, MAX_LINE_BYTES};
