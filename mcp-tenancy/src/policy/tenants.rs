//! Each tenant under the policy it has activated.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use mcp_core::{Error, ErrorKind, Result, Scope, scope::TenantId};
use moka::future::Cache;

use super::{
    Bounded, ByPermission, Compiler, Decision, KEPT_IDLE, Policy, PolicyStore, PolicyText, store::not_found,
};

/// Compiled policies that are kept; those asked least lately are compiled again.
const COMPILED: u64 = 1_000;
/// Tenants whose active version is remembered, and for how long: what another replica activates decides here
/// within this time.
const REMEMBERED: u64 = 100_000;
const REMEMBERED_FOR: Duration = Duration::from_secs(1);

/// Asks the policy that a tenant has activated; [`ByPermission`], or another default, where it has none.
///
/// An activation counts here within a second, at once when it was made through
/// [`PolicyAdmin`](super::PolicyAdmin) of the same process. If the store does not answer, nothing is allowed;
/// neither is anything while the active version cannot be compiled, after a change of the schema for
/// instance.
#[derive(Clone)]
pub struct TenantPolicies {
    store: Arc<dyn PolicyStore>,
    compiler: Compiler,
    default: Arc<dyn Policy>,
    active: Cache<TenantId, i64>,
    compiled: Cache<(TenantId, i64), Arc<dyn Policy>>,
}

impl TenantPolicies {
    /// Asks what `store` has, compiled by `compiler`.
    #[must_use]
    pub fn new(store: Arc<dyn PolicyStore>, compiler: Compiler) -> Self {
        Self {
            store,
            compiler,
            default: Arc::new(ByPermission),
            active: Cache::builder().max_capacity(REMEMBERED).time_to_live(REMEMBERED_FOR).build(),
            compiled: Cache::builder()
                .max_capacity(COMPILED)
                .time_to_idle(KEPT_IDLE)
                .support_invalidation_closures()
                .build(),
        }
    }

    /// The same with another policy for tenants that have none.
    #[must_use]
    pub fn with_default(mut self, default: Arc<dyn Policy>) -> Self {
        self.default = default;
        self
    }

    /// The policy that decides for the scope's tenant now.
    ///
    /// # Errors
    /// As the store's; as [`Compiler::compile`].
    pub async fn current(&self, scope: &Scope) -> Result<Arc<dyn Policy>> {
        let active = match self.active.get(scope.tenant()).await {
            Some(active) => active,
            None => {
                let active = self.store.active(scope).await?;
                self.active.insert(scope.tenant().clone(), active).await;
                active
            }
        };
        if active == 0 {
            return Ok(self.default.clone());
        }
        let key = (scope.tenant().clone(), active);
        let loaded = self.compiled.try_get_with(key, self.load(scope, active)).await;
        loaded.map_err(|error| Error::new(error.kind(), "policy.load", error.message().to_owned()))
    }

    async fn load(&self, scope: &Scope, version: i64) -> Result<Arc<dyn Policy>> {
        let stored = self.store.version(scope, version).await?;
        self.compile(stored.ok_or_else(|| not_found("policy.load", version))?.policy).await
    }

    /// Compiles off the async threads.
    pub(super) async fn compile(&self, text: PolicyText) -> Result<Arc<dyn Policy>> {
        let compiler = self.compiler.clone();
        let compiled = tokio::task::spawn_blocking(move || compiler.compile(&text)).await;
        compiled.map_err(|error| {
            Error::internal("policy.compile", "the policy could not be compiled").with_source(error)
        })?
    }

    /// Forgets a tenant's policies.
    pub(super) async fn erase(&self, tenant: &TenantId) {
        self.active.invalidate(tenant).await;
        let gone = tenant.clone();
        // Fails only for a cache without such closures; this one has them.
        let _ = self.compiled.invalidate_entries_if(move |(of, _), _| *of == gone);
        self.compiled.run_pending_tasks().await;
    }

    /// Forgets which version a tenant had active.
    pub(super) async fn forget(&self, tenant: &TenantId) {
        self.active.invalidate(tenant).await;
    }
}

#[async_trait]
impl Policy for TenantPolicies {
    async fn evaluate(&self, asked: Bounded<'_>) -> Result<Decision> {
        match self.current(asked.scope()).await {
            Ok(policy) => policy.evaluate(asked).await,
            Err(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::DeadlineExceeded) => {
                Err(error)
            }
            Err(error) => {
                tracing::error!(tenant = %asked.scope().tenant(), error = error.report(), "no policy to ask");
                Ok(Decision::failed(["the active policy cannot be used; validate it again"]))
            }
        }
    }
}

impl fmt::Debug for TenantPolicies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantPolicies").field("store", &self.store).finish_non_exhaustive()
    }
}
