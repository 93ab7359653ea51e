//! One record, and the port through which layers report denials.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::scope::{PlatformScope, Scope, TenantId};

/// Which chain a record belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Chain {
    /// The platform's own: administration, and denials of callers nobody could name.
    Platform,
    /// A tenant's.
    Tenant(TenantId),
}

impl Chain {
    /// The chain's name: the tenant's id, or `platform`, which no tenant can be called.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Platform => "platform",
            Self::Tenant(tenant) => tenant.as_str(),
        }
    }
}

impl std::fmt::Display for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
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

impl Outcome {
    /// The name in stored records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Denied => "denied",
        }
    }
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

impl AuditRecord {
    /// A record of what the scope's principal did to `resource`.
    #[must_use]
    pub fn done(scope: &Scope, action: impl Into<Cow<'static, str>>, resource: impl Into<String>) -> Self {
        Self {
            actor: scope.principal().id.as_str().to_owned(),
            action: action.into(),
            resource: resource.into(),
            outcome: Outcome::Done,
            request_id: scope.request_id().as_str().to_owned(),
            detail: serde_json::Value::Null,
        }
    }

    /// A record of what was done above tenants; the scope's reason becomes a detail.
    #[must_use]
    pub fn administered(
        scope: &PlatformScope,
        action: impl Into<Cow<'static, str>>,
        resource: impl Into<String>,
    ) -> Self {
        Self {
            actor: scope.actor().as_str().to_owned(),
            action: action.into(),
            resource: resource.into(),
            outcome: Outcome::Done,
            request_id: scope.request_id().as_str().to_owned(),
            detail: serde_json::json!({ "reason": scope.reason() }),
        }
    }

    /// The same record with a detail; never a secret.
    #[must_use]
    pub fn with_detail(mut self, detail: serde_json::Value) -> Self {
        self.detail = detail;
        self
    }
}

/// Where layers report denials.
///
/// Denials are group-committed and coalesced by rate, so that an attacker cannot force one commit a request;
/// hence this neither waits nor fails. What is dropped is counted in a record of its own.
pub trait DenialLog: Send + Sync + std::fmt::Debug {
    /// Takes one denial.
    fn denied(&self, chain: Chain, record: AuditRecord);
}
