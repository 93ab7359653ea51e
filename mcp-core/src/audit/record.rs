//! One record, and the port through which layers report denials.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::scope::TenantId;

/// Which chain a record belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Chain {
    /// The platform's own: administration, and denials of callers nobody could name.
    Platform,
    /// A tenant's.
    Tenant(TenantId),
}

/// How the audited thing ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was refused.
    Denied,
}

/// What happened, before it is written. The writer adds id, time, chain and hash.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// Who: a principal's id, or `anonymous`.
    pub actor: String,
    /// What, `area.verb`: `tenant.suspend`, `auth.denied`.
    pub action: Cow<'static, str>,
    /// On what: `tenant/acme`, `key/k_…`, `server/everything`.
    pub resource: String,
    /// How it ended.
    pub outcome: Outcome,
    /// The request it was part of.
    pub request_id: String,
    /// Details; never a secret.
    #[serde(default)]
    pub detail: serde_json::Value,
}

/// Where layers report denials.
///
/// Denials are group-committed and coalesced by rate, so that an attacker cannot force one commit a request;
/// hence this neither waits nor fails. What is dropped is counted in a record of its own.
pub trait DenialLog: Send + Sync + std::fmt::Debug {
    /// Takes one denial.
    fn denied(&self, chain: Chain, record: AuditRecord);
}
