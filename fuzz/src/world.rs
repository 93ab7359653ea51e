//! A tenancy with one tenant, a key and a token, in memory, and the runtime it works on.

use std::{sync::LazyLock, time::Duration};

use http::{HeaderMap, Request, request::Parts};
use mcp_core::{
    PlatformScope,
    clock::{ManualClock, Timestamp},
    scope::{Permissions, Principal, PrincipalId, PrincipalKind, TenantId},
};
use mcp_tenancy::{
    Tenancy, TenancyDeps,
    auth::{Authenticators, Identity},
    key::NewApiKey,
    tenant::NewTenant,
    token::TokenConfig,
};
use tokio::runtime::Runtime;

pub(crate) struct World {
    pub(crate) runtime: Runtime,
    pub(crate) tenancy: Tenancy,
    pub(crate) authenticators: Authenticators,
    /// The only credentials there are.
    pub(crate) key: String,
    pub(crate) token: String,
}

pub(crate) static WORLD: LazyLock<World> = LazyLock::new(|| {
    // A thread beside this one follows changes to tenants, as what is not fresh is refused.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (tenancy, key, token) = runtime.block_on(async {
        let tokens = TokenConfig::new("https://fuzz.example", "https://fuzz.example/mcp");
        let mut deps = TenancyDeps::memory(tokens).unwrap();
        // Time stands still, so that no credential expires however long this runs.
        let now = Timestamp::from_micros(1_800_000_000_000_000);
        deps.clock = std::sync::Arc::new(ManualClock::new(now));
        let tenancy = Tenancy::open(deps).await.unwrap();
        let operator = PlatformScope::new(PrincipalId::parse("operator").unwrap(), "fuzzes");
        tenancy.create_tenant(&operator, NewTenant::new(acme(), "Acme")).await.unwrap();
        let new = NewApiKey::service(acme(), "key", "robot", Permissions::default()).unwrap();
        let key = tenancy.create_key(&operator, new).await.unwrap().text.expose().clone();
        let day = Duration::from_secs(24 * 3600);
        let token = tenancy.issue_token(&operator, &acme(), &principal(), day).await.unwrap();
        (tenancy, key, token.token.expose().clone())
    });
    World { authenticators: tenancy.authenticators(), runtime, tenancy, key, token }
});

pub(crate) fn acme() -> TenantId {
    TenantId::parse("acme").unwrap()
}

pub(crate) fn principal() -> Principal {
    let permissions = Permissions::parse(["tools:call"]).unwrap();
    Principal { id: PrincipalId::parse("robot").unwrap(), kind: PrincipalKind::Service, permissions }
}

pub(crate) fn head(headers: HeaderMap) -> Parts {
    let (mut head, ()) = Request::new(()).into_parts();
    head.headers = headers;
    head
}

impl World {
    /// Whom a request with these headers comes from.
    pub(crate) fn authenticate(&self, headers: HeaderMap) -> Option<Identity> {
        self.runtime.block_on(self.authenticators.authenticate(&head(headers))).ok()
    }
}
