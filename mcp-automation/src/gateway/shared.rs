//! What every request of a gateway shares.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use mcp_core::{
    Scope,
    audit::{AuditRecord, Chain, DenialLog, Outcome},
    clock::Clock,
    scope::TenantId,
};
use serde_json::json;
use tokio_util::task::TaskTracker;

use super::{
    catalog::Catalog, config::GatewayConfig, drain::Drain, guard::Guards, level::Level, metrics::Metrics,
    path::Endpoint, session::Session, sessions::Sessions, subscriptions::Subscriptions,
};
use crate::upstream::Upstreams;

/// The gateway's parts.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: GatewayConfig,
    pub(super) upstreams: Arc<dyn Upstreams>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) denials: Arc<dyn DenialLog>,
    pub(super) guards: Guards,
    pub(super) catalog: Catalog,
    pub(super) sessions: Sessions,
    pub(super) metrics: Metrics,
    pub(super) drain: Arc<Drain>,
    /// Tasks that write streams; drained on shutdown.
    pub(super) tasks: TaskTracker,
    pub(super) streams: Streams,
    pub(super) subscriptions: Subscriptions,
}

/// Who calls, where, and how the client may be reached.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) scope: Scope,
    pub(super) endpoint: Endpoint,
    pub(super) client: Client,
}

/// The client's side of the protocol.
#[derive(Debug, Clone)]
pub(super) enum Client {
    /// A version with sessions.
    Legacy(Arc<Session>),
    /// 2026-07-28 and later; `level` is the lowest level of log messages this request asks for.
    Stateless { level: Option<Level> },
}

impl Client {
    pub(super) const fn is_stateless(&self) -> bool {
        matches!(self, Self::Stateless { .. })
    }
}

impl Shared {
    /// How long lists are fresh, as clients are told.
    pub(super) fn ttl_millis(&self) -> u64 {
        u64::try_from(self.config.list_ttl.as_millis()).unwrap_or(u64::MAX)
    }

    /// Reports that a principal lacked a permission.
    pub(super) fn deny(&self, scope: &Scope, permission: &'static str, method: &'static str) {
        tracing::info!(
            tenant = %scope.tenant(), request_id = %scope.request_id(), permission, method, "denied"
        );
        let record = AuditRecord {
            actor: scope.principal().id.to_string(),
            action: "mcp.denied".into(),
            resource: format!("permission/{permission}"),
            outcome: Outcome::Denied,
            request_id: scope.request_id().to_string(),
            detail: json!({ "method": method }),
        };
        self.denials.denied(Chain::Tenant(scope.tenant().clone()), record);
    }
}

/// Open streams by tenant; a tenant without any takes no memory.
#[derive(Debug, Clone, Default)]
pub(super) struct Streams(Arc<Mutex<HashMap<TenantId, usize>>>);

/// One open stream of a tenant.
#[derive(Debug)]
pub(super) struct StreamPermit {
    streams: Streams,
    tenant: TenantId,
}

impl Streams {
    /// Enters a stream, unless the tenant has `max` already.
    pub(super) fn enter(&self, tenant: &TenantId, max: usize) -> Option<StreamPermit> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(tenant.clone()).or_default();
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(StreamPermit { streams: self.clone(), tenant: tenant.clone() })
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        let mut open = self.streams.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.tenant) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_counted_by_tenant_and_forgotten() {
        let streams = Streams::default();
        let [a, b] = ["a", "b"].map(|id| TenantId::parse(id).unwrap());
        let held = streams.enter(&a, 1).unwrap();
        assert!(streams.enter(&a, 1).is_none());
        assert!(streams.enter(&b, 1).is_some());
        drop(held);
        assert!(streams.enter(&a, 1).is_some());
        assert!(streams.0.lock().unwrap().is_empty());
    }
}
