//! Attacks on the way above tenants.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use mcp_core::{
    Error, PlatformScope, Result,
    audit::Chain,
    clock::{Clock as _, SystemClock},
    layer::RescueLayer,
    scope::{PrincipalId, RequestId},
};
use mcp_tenancy::{
    key::KeyId,
    layer::{AuthenticateOperatorLayer, OperatorRateLimitLayer},
    operator::{
        IssuedOperatorKey, MemoryOperatorKeyStore, NewOperatorKey, OperatorAuthenticator, OperatorKey,
        OperatorKeyStore, StoredOperatorKey,
    },
    tenant::Page,
};
use tower::{Service as _, ServiceBuilder, ServiceExt as _, service_fn};

use crate::support::{World, assert_unauthenticated};

const PER_MINUTE: u32 = 600;

impl World {
    async fn operator_key(&self) -> IssuedOperatorKey {
        let new = NewOperatorKey::new("laptop", PrincipalId::parse("operator:ada").unwrap());
        self.tenancy.create_operator_key(&self.admin, new).await.unwrap()
    }

    /// Sends a request through the layers of operators; the inside answers with its scope.
    async fn operate(&self, credential: &str, per_minute: u32) -> Response<Bytes> {
        let inside = service_fn(async |request: Request<()>| {
            let scope =
                request.extensions().get::<PlatformScope>().expect("the inside was reached without one");
            let text = format!("{}; {}; {}", scope.actor(), scope.reason(), scope.request_id());
            Ok::<_, Error>(Response::new(Full::new(Bytes::from(text))))
        });
        let (limiter, denials) = (self.limiter.clone(), self.denials.clone());
        let per_minute = NonZeroU32::new(per_minute).unwrap();
        let mut stack = ServiceBuilder::new()
            .layer(RescueLayer::default())
            .layer(AuthenticateOperatorLayer::new(self.tenancy.operators().clone(), denials.clone()))
            .layer(OperatorRateLimitLayer::new(limiter, per_minute, denials))
            .service(inside);
        let request = Request::builder()
            .method("POST")
            .uri("/api/v1/operator/tenants?name=x")
            .header("authorization", format!("Bearer {credential}"));
        let mut request = request.body(()).unwrap();
        request.extensions_mut().insert(RequestId::parse("request-1").unwrap());
        let response = stack.ready().await.unwrap().call(request).await.unwrap();
        let (head, body) = response.into_parts();
        Response::from_parts(head, body.collect().await.unwrap().to_bytes())
    }

    async fn expect_no_operator(&self, credential: &str, what: &str) {
        self.denials.take();
        assert_unauthenticated(&self.operate(credential, PER_MINUTE).await, what);
        let denials = self.denials.take();
        assert_eq!(denials.len(), 1, "{what}");
        assert_eq!((&denials[0].0, &*denials[0].1.action), (&Chain::Platform, "auth.denied"), "{what}");
        assert!(credential.len() < 20 || !format!("{denials:?}").contains(credential), "{what}");
    }
}

#[tokio::test]
async fn an_operator_key_acts_above_tenants_and_its_request_is_named() {
    let world = World::new().await;
    let key = world.operator_key().await;
    let response = world.operate(key.text.expose(), PER_MINUTE).await;
    assert_eq!(response.body(), "operator:ada; POST /api/v1/operator/tenants; request-1");
    assert_eq!(response.headers()["ratelimit-remaining"], "599");
}

#[tokio::test]
async fn credentials_of_tenants_are_nobody_above_them() {
    let world = World::new().await;
    let tenant_key = world.api_key("acme").await;
    world.expect_no_operator(tenant_key.text.expose(), "a tenant's key").await;
    world.expect_no_operator(&world.token("acme").await, "a tenant's token").await;
    let renamed = tenant_key.text.expose().replacen("mcpk_", "mcpo_", 1);
    world.expect_no_operator(&renamed, "a tenant's key made to look like an operator's").await;
}

#[tokio::test]
async fn an_operator_key_is_nobody_within_a_tenant() {
    let world = World::new().await;
    let key = world.operator_key().await;
    world.expect_unauthenticated(key.text.expose(), "an operator key").await;
    let renamed = key.text.expose().replacen("mcpo_", "mcpk_", 1);
    world.expect_unauthenticated(&renamed, "an operator key made to look like a tenant's").await;
    let named = [("authorization", &*format!("Bearer {}", key.text.expose())), ("x-tenant-id", "acme")];
    assert_unauthenticated(&world.send(&named).await, "an operator key that names a tenant");
}

#[tokio::test]
async fn every_prefix_and_every_wrong_secret_is_refused() {
    let world = World::new().await;
    let (key, other) = (world.operator_key().await, world.operator_key().await);
    let text = key.text.expose();
    for end in 1..text.len() {
        world.expect_no_operator(&text[..end], &format!("length {end}")).await;
    }
    let secret = other.text.expose().splitn(3, '_').nth(2).unwrap();
    world.expect_no_operator(&format!("mcpo_{}_{secret}", key.key.id), "another key's secret").await;
    world.expect_no_operator(&format!("mcpo_{}_{secret}", "0".repeat(24)), "an unknown id").await;
}

#[tokio::test(start_paused = true)]
async fn revoked_and_expired_keys_end() {
    let world = World::new().await;
    let (here, there, expiring) = (
        world.operator_key().await,
        world.operator_key().await,
        NewOperatorKey {
            expires_at: Some(world.clock.now().after(Duration::from_secs(60))),
            ..NewOperatorKey::new("short", PrincipalId::parse("operator:ada").unwrap())
        },
    );
    let expiring = world.tenancy.create_operator_key(&world.admin, expiring).await.unwrap();
    for key in [&here, &there, &expiring] {
        assert_eq!(world.operate(key.text.expose(), PER_MINUTE).await.status(), StatusCode::OK);
    }
    world.tenancy.revoke_operator_key(&world.admin, &here.key.id).await.unwrap();
    world.expect_no_operator(here.text.expose(), "revoked here").await;
    let elsewhere = world.other_replica().await;
    elsewhere.revoke_operator_key(&world.admin, &there.key.id).await.unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    world.expect_no_operator(there.text.expose(), "revoked elsewhere a second ago").await;
    world.clock.advance(Duration::from_secs(60));
    world.expect_no_operator(expiring.text.expose(), "expired").await;
}

#[tokio::test(start_paused = true)]
async fn a_key_over_its_limit_waits_and_the_others_do_not() {
    let world = World::new().await;
    let (greedy, calm) = (world.operator_key().await, world.operator_key().await);
    assert_eq!(world.operate(greedy.text.expose(), 1).await.status(), StatusCode::OK);
    world.denials.take();
    let refused = world.operate(greedy.text.expose(), 1).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.headers().contains_key("retry-after"));
    let (chain, record) = world.denials.take().remove(0);
    assert_eq!(
        (chain, &*record.action, record.actor.as_str()),
        (Chain::Platform, "limit.denied", "operator:ada")
    );
    assert_eq!(world.operate(calm.text.expose(), 1).await.status(), StatusCode::OK);
}

/// Counts what reaches the store.
#[derive(Debug, Default)]
struct Counting(MemoryOperatorKeyStore, std::sync::atomic::AtomicUsize);

#[async_trait]
impl OperatorKeyStore for Counting {
    async fn insert(&self, scope: &PlatformScope, key: StoredOperatorKey) -> Result<()> {
        self.0.insert(scope, key).await
    }
    async fn find(&self, scope: &PlatformScope, id: &KeyId) -> Result<Option<StoredOperatorKey>> {
        self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.0.find(scope, id).await
    }
    async fn list(
        &self,
        scope: &PlatformScope,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<OperatorKey>> {
        self.0.list(scope, cursor, limit).await
    }
    async fn revoke(&self, scope: &PlatformScope, id: &KeyId) -> Result<OperatorKey> {
        self.0.revoke(scope, id).await
    }
}

#[tokio::test(start_paused = true)]
async fn strangers_cannot_make_the_store_work() {
    let store = Arc::new(Counting::default());
    let authenticator = OperatorAuthenticator::new(store.clone(), Arc::new(SystemClock)).unwrap();
    let secret = "A".repeat(43);
    let attempts = [
        format!("mcpo_{}_{secret}", "0".repeat(24)),
        format!("mcpk_{}_{secret}", "0".repeat(24)),
        "mcpo_".to_owned(),
        "eyJhbGciOiJub25lIn0.e30.".to_owned(),
    ];
    for attempt in attempts.iter().cycle().take(400) {
        let request = Request::builder().header("authorization", format!("Bearer {attempt}"));
        let (head, ()) = request.body(()).unwrap().into_parts();
        assert!(authenticator.authenticate(&head).await.is_err());
    }
    let asked = store.1.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(asked, 1, "an id that no key has is looked up once a second, another form never");
}
