//! How issuers are doing: what `/ready` and metrics show.

use std::time::Duration;

use mcp_core::{clock::Timestamp, scope::TenantId};
use serde::Serialize;

use crate::issuer::IssuerId;

/// Whether an issuer's word can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum IssuerState {
    /// Nobody has needed it yet, or for a long time.
    Unused,
    /// It answered the last time it was asked.
    Fresh,
    /// It did not, and what it said before still holds.
    Stale {
        /// Since when.
        since: Timestamp,
    },
    /// It did not, and its tokens are refused.
    Unreachable {
        /// Since when.
        since: Timestamp,
    },
}

impl IssuerState {
    /// The name in metrics.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Unused => "unused",
            Self::Fresh => "fresh",
            Self::Stale { .. } => "stale",
            Self::Unreachable { .. } => "unreachable",
        }
    }

    /// All names, for gauges that say zero.
    pub(super) const NAMES: [&'static str; 4] = ["unused", "fresh", "stale", "unreachable"];
}

/// How an issuer is doing. For operators: it names the tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IssuerHealth {
    /// Which one.
    pub id: IssuerId,
    /// Whose it is; `None` if it is shared.
    pub tenant: Option<TenantId>,
    /// Its URL.
    pub url: String,
    /// Whether its word can be had.
    #[serde(flatten)]
    pub state: IssuerState,
    /// How many keys it has; 0 where it is asked by introspection.
    pub keys: usize,
    /// How old its keys are, in seconds.
    pub age_seconds: Option<u64>,
    /// What is wrong with it, if something is.
    pub problem: Option<String>,
}

impl IssuerHealth {
    pub(super) fn seconds(age: Option<Duration>) -> Option<u64> {
        age.map(|age| age.as_secs())
    }
}
