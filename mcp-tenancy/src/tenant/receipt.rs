//! What is left to show of a tenant that was erased.

#[cfg(any(feature = "sqlite", feature = "postgres"))]
use aws_lc_rs::digest::{SHA256, digest};
use mcp_core::{
    Error, ErrorKind, Result,
    clock::Timestamp,
    erase::{Erased, LastLink},
    scope::TenantId,
};
use serde::{Deserialize, Serialize};

use super::Name;

/// One step of an erasure, done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub struct ErasureStep {
    /// Which part of the platform.
    pub name: String,
    /// When it ended.
    pub finished_at: Timestamp,
    /// What it had.
    pub erased: Erased,
}

/// That a tenant was erased: who asked for it when, and what there was. It names nothing of what was in the data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub struct ErasureReceipt {
    /// Which tenant.
    pub tenant: TenantId,
    /// The organisation whose project it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<TenantId>,
    /// Where its data lived.
    pub region: Name,
    /// When it was deleted.
    pub requested_at: Timestamp,
    /// When erasing began.
    pub started_at: Timestamp,
    /// When the last step had ended.
    pub finished_at: Timestamp,
    /// Every step, in their order.
    pub steps: Vec<ErasureStep>,
}

impl ErasureReceipt {
    /// Where the tenant's audit chain ended.
    #[must_use]
    pub fn last_link(&self) -> Option<&LastLink> {
        self.steps.iter().find_map(|step| step.erased.last_link.as_ref())
    }

    /// How many rows, files and others there were.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.steps.iter().map(|step| step.erased.total()).sum()
    }

    /// The receipt as it is kept: JSON.
    ///
    /// # Errors
    /// [`Internal`](ErrorKind::Internal) if it has no such form.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| {
            Error::internal("tenant.receipt", "a receipt has no text form").with_source(error)
        })
    }

    /// Reads [`to_json`](Self::to_json).
    ///
    /// # Errors
    /// [`Corrupted`](ErrorKind::Corrupted) if it is none.
    pub fn from_json(text: &str) -> Result<Self> {
        serde_json::from_str(text).map_err(|error| {
            Error::new(ErrorKind::Corrupted, "tenant.receipt", "a stored receipt is damaged")
                .with_source(error)
        })
    }
}

/// The SHA-256 of a receipt's text, in hexadecimal digits: what the platform's audit chain says of it.
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(super) fn fingerprint(text: &str) -> String {
    digest(&SHA256, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
