//! Where a tenant's data lives, and that it was closed.

use super::{IsolationMode, SchemaName};
use crate::{
    clock::Timestamp,
    erase::{Erased, LastLink},
    error::{Error, ErrorKind, Result},
    scope::TenantId,
};

/// Where a tenant's data lives: one row of the control table `placement`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The tenant.
    pub tenant: TenantId,
    /// How its data is kept apart.
    pub mode: IsolationMode,
    /// The name of its schema (mode `schema`) or database (mode `database`); unique over all tenants, those that
    /// were erased included.
    pub schema: SchemaName,
    /// The region whose databases hold it; `None` for those that the kernel was opened with.
    pub region: Option<String>,
    /// Whether it is provisioned: its schema, database or file exists and is migrated.
    pub ready: bool,
}

/// A place that nothing begins in any more: one row of the control table `closed_placement`, which outlives the
/// tenant, so that no other ever gets its names.
#[derive(Debug, Clone)]
pub(crate) struct ClosedPlace {
    pub(crate) place: Placement,
    pub(crate) closed_at: Timestamp,
    /// What was in it, noted once before anything is erased: an erasure that is taken up again knows it still.
    pub(crate) counted: Option<Erased>,
    pub(crate) erased: bool,
}

/// Tables above tenants that keep rows of a tenant that was erased: that its names were used, and that its data keys
/// are destroyed. The log there is the platform's.
pub(crate) const OUTLIVING: &[&str] = &[
    "audit",
    "audit_checkpoint",
    "audit_pending",
    "audit_seal",
    "closed_placement",
    "data_key",
    "outbox",
    "outbox_pending",
    "outbox_published",
    "placement",
    "placement_region",
];

/// The end of an audit chain, as it was read.
pub(crate) fn last_link(seal: Option<(i64, Vec<u8>)>, unsealed: i64) -> Option<LastLink> {
    let (seq, hash) = seal.unwrap_or_default();
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    (seq > 0 || unsealed > 0).then(|| LastLink { seq, hash, unsealed: unsealed.unsigned_abs() })
}

pub(crate) fn counted_text(counted: &Erased) -> Result<String> {
    serde_json::to_string(counted)
        .map_err(|error| Error::internal("tenant.erase", "the counts have no text form").with_source(error))
}

pub(crate) fn counted_of(text: Option<String>) -> Result<Option<Erased>> {
    text.map(|text| serde_json::from_str(&text)).transpose().map_err(|error| {
        Error::new(ErrorKind::Corrupted, "tenant.erase", "a stored count is damaged").with_source(error)
    })
}

pub(crate) fn unserved(region: &str) -> Error {
    let message = format!("this deployment has no databases for the region `{region}`");
    Error::new(ErrorKind::Unsupported, "sql.region", message)
}

pub(crate) fn names_taken() -> Error {
    let message = "this tenant, or the name of its schema, was there before and is erased; take another";
    Error::new(ErrorKind::AlreadyExists, "sql.place", message)
}
