//! How a refusal is counted and recorded.

use std::{fmt, sync::Arc};

use http::Extensions;
use mcp_core::{
    Error,
    audit::{AuditRecord, Chain, DenialLog, Outcome},
    scope::RequestId,
};
use serde_json::json;

use crate::{auth::Identity, operator::Operator};

/// Counts and records refusals. A refusal goes to the chain of the tenant whose credential it was, never to
/// that of the tenant it was aimed at: nobody can write into another tenant's records.
#[derive(Clone)]
pub(super) struct Denials(Arc<dyn DenialLog>);

impl Denials {
    pub(super) fn new(log: Arc<dyn DenialLog>) -> Self {
        Self(log)
    }

    /// A request without good credentials.
    pub(super) fn anonymous(&self, extensions: &Extensions, error: &Error) {
        let reason = crate::auth::reason(error);
        metrics::counter!("mcp_auth_denied_total", "reason" => reason.to_owned()).increment(1);
        self.0.denied(Chain::Platform, record("anonymous", "auth.denied", "request", extensions, reason));
    }

    /// A request of a known principal.
    pub(super) fn of(
        &self,
        identity: &Identity,
        action: &'static str,
        extensions: &Extensions,
        reason: &'static str,
    ) {
        metrics::counter!("mcp_requests_denied_total", "action" => action, "reason" => reason).increment(1);
        let actor = identity.principal.id.as_str();
        let record = record(actor, action, &identity.credential, extensions, reason);
        self.0.denied(Chain::Tenant(identity.tenant.clone()), record);
    }

    /// A request of a known operator.
    pub(super) fn of_operator(
        &self,
        operator: &Operator,
        action: &'static str,
        extensions: &Extensions,
        reason: &'static str,
    ) {
        metrics::counter!("mcp_requests_denied_total", "action" => action, "reason" => reason).increment(1);
        let actor = operator.principal.as_str();
        self.0.denied(Chain::Platform, record(actor, action, &operator.credential, extensions, reason));
    }
}

impl fmt::Debug for Denials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Denials")
    }
}

fn record(
    actor: &str,
    action: &'static str,
    resource: &str,
    extensions: &Extensions,
    reason: &str,
) -> AuditRecord {
    let request_id = extensions.get::<RequestId>().map_or_else(String::new, ToString::to_string);
    AuditRecord {
        actor: actor.to_owned(),
        action: action.into(),
        resource: resource.to_owned(),
        outcome: Outcome::Denied,
        request_id,
        detail: json!({ "reason": reason }),
    }
}
