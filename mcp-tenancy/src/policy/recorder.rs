//! What was asked lately, to try a policy on before it decides.

use std::{
    collections::VecDeque,
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Mutex, PoisonError},
};

use mcp_core::scope::TenantId;
use moka::future::Cache;
use serde_json::Value;

use super::{KEPT_IDLE, PolicyRequest};

/// Requests kept of each tenant: the last ones that differ.
pub const RECORDED: usize = 100;
/// Tenants of which requests are kept; those asked least lately are forgotten.
const TENANTS: u64 = 500;
/// Largest request that is kept, as JSON.
const MAX_RECORDED: usize = 4 * 1024;
/// What stands for a value whose name sounds secret.
const REDACTED: &str = "[redacted]";
/// Parts of names that do.
const SECRET_NAMES: [&str; 8] =
    ["authorization", "cookie", "credential", "passw", "secret", "session", "token", "api_key"];

/// The last requests of each tenant, in memory, per process; for a day after the last.
///
/// Attributes and circumstances never hold a secret; should one slip in, under a name that sounds like one,
/// its value is left out here.
#[derive(Debug, Clone)]
pub struct RequestRecorder {
    rings: Cache<TenantId, Arc<Mutex<Ring>>>,
    hasher: RandomState,
}

/// A tenant's requests, each with the hash of what it was before secrets were left out: a request that comes
/// over and over is told by that, and not copied and compared with all others each time.
type Ring = VecDeque<(u64, PolicyRequest)>;

impl Default for RequestRecorder {
    fn default() -> Self {
        Self {
            rings: Cache::builder().max_capacity(TENANTS).time_to_idle(KEPT_IDLE).build(),
            hasher: RandomState::new(),
        }
    }
}

impl RequestRecorder {
    /// Keeps a request, unless it is large or kept already.
    pub async fn record(&self, tenant: &TenantId, request: &PolicyRequest) {
        let Ok(json) = serde_json::to_vec(request) else { return };
        if json.len() > MAX_RECORDED {
            return;
        }
        let hash = self.hasher.hash_one(&json);
        let ring = match self.rings.get(tenant).await {
            Some(ring) => ring,
            None => self.rings.get_with(tenant.clone(), async { Arc::default() }).await,
        };
        let mut ring = ring.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.iter().rev().any(|(kept, _)| *kept == hash) {
            return;
        }
        let request = without_secrets(request.clone());
        if !ring.iter().any(|(_, kept)| *kept == request) {
            if ring.len() == RECORDED {
                ring.pop_front();
            }
            ring.push_back((hash, request));
        }
    }

    /// Forgets the requests of a tenant; returns how many there were.
    pub(super) async fn erase(&self, tenant: &TenantId) -> u64 {
        let gone = self.rings.remove(tenant).await;
        gone.map_or(0, |ring| ring.lock().unwrap_or_else(PoisonError::into_inner).len() as u64)
    }

    /// The requests kept of a tenant, the oldest first.
    pub async fn recorded(&self, tenant: &TenantId) -> Vec<PolicyRequest> {
        match self.rings.get(tenant).await {
            Some(ring) => {
                let ring = ring.lock().unwrap_or_else(PoisonError::into_inner);
                ring.iter().map(|(_, request)| request.clone()).collect()
            }
            None => Vec::new(),
        }
    }
}

fn without_secrets(mut request: PolicyRequest) -> PolicyRequest {
    for attributes in [&mut request.access.context, &mut request.access.resource.attributes] {
        attributes.iter_mut().for_each(|(name, value)| redact(name, value));
    }
    request
}

fn redact(name: &str, value: &mut Value) {
    let name = name.to_ascii_lowercase().replace('-', "_");
    if SECRET_NAMES.iter().any(|secret| name.contains(secret)) {
        *value = REDACTED.into();
        return;
    }
    match value {
        Value::Object(fields) => fields.iter_mut().for_each(|(name, value)| redact(name, value)),
        Value::Array(items) => items.iter_mut().for_each(|item| redact("", item)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mcp_core::{
        Scope,
        access::{Access, Action, Resource},
        scope::{Permissions, Principal, PrincipalId, PrincipalKind},
    };
    use serde_json::json;

    use super::*;
    use crate::role::Granted;

    fn request(id: &str) -> (TenantId, PolicyRequest) {
        let principal = Principal {
            id: PrincipalId::parse("u1").unwrap(),
            kind: PrincipalKind::User,
            permissions: Permissions::default(),
        };
        let scope = Scope::new(TenantId::parse("acme").unwrap(), Arc::new(principal));
        let access = Access::new(Action::constant("tools:call"), Resource::of(&scope, "tool", id).unwrap());
        (scope.tenant().clone(), PolicyRequest::new(&scope, &Granted::default(), access))
    }

    #[tokio::test]
    async fn the_last_that_differ_are_kept() {
        let recorder = RequestRecorder::default();
        for round in 0..RECORDED + 20 {
            let (tenant, request) = request(&format!("tool-{round}"));
            recorder.record(&tenant, &request).await;
            recorder.record(&tenant, &request).await;
        }
        let (tenant, mut large) = request("large");
        large.access = large.access.with("text", "x".repeat(MAX_RECORDED));
        recorder.record(&tenant, &large).await;
        let kept = recorder.recorded(&tenant).await;
        assert_eq!(kept.len(), RECORDED);
        assert_eq!(kept[0].access.resource.id, "tool-20");
        assert_eq!(kept[RECORDED - 1].access.resource.id, format!("tool-{}", RECORDED + 19));
        assert!(recorder.recorded(&TenantId::parse("beta").unwrap()).await.is_empty());
    }

    #[tokio::test]
    async fn what_sounds_secret_is_left_out() {
        let recorder = RequestRecorder::default();
        let (tenant, mut with_secrets) = request("a");
        with_secrets.access = with_secrets
            .access
            .with("Authorization", "Bearer hunter2")
            .with("headers", json!([{ "x-api-key": "hunter2", "accept": "*/*" }]));
        with_secrets.access.resource = with_secrets.access.resource.with("access_token", "hunter2");
        recorder.record(&tenant, &with_secrets).await;
        let kept = serde_json::to_string(&recorder.recorded(&tenant).await).unwrap();
        assert!(!kept.contains("hunter2") && kept.contains("*/*"), "{kept}");
    }
}
