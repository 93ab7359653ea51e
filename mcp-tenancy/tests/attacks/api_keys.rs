//! Attacks on API keys.

use std::{sync::Arc, time::Duration};

use crate::support::{World, assert_unauthenticated, tenant};
use http::StatusCode;
use mcp_core::{
    ErrorKind, PlatformScope, Result,
    clock::{Clock as _, Timestamp},
    scope::{Permissions, TenantId},
};
use mcp_tenancy::{
    key::{ApiKey, KeyDigest, KeyId, KeyStore, MAX_OVERLAP, MemoryKeyStore, NewApiKey, StoredKey},
    tenant::Page,
};

#[tokio::test]
async fn a_key_acts_as_its_principal() {
    let world = World::new().await;
    let key = world.api_key("acme").await;
    let response = world.send_bearer(key.text.expose()).await;
    assert_eq!(response.body(), "robot of acme");
    let response = world.send(&[("x-api-key", key.text.expose())]).await;
    assert_eq!(response.body(), "robot of acme");
}

#[tokio::test]
async fn every_prefix_of_a_key_is_refused() {
    let world = World::new().await;
    let key = world.api_key("acme").await;
    let text = key.text.expose();
    for end in 1..text.len() {
        world.expect_unauthenticated(&text[..end], &format!("length {end}")).await;
    }
}

/// The way of an unknown key is that of a known one with a wrong secret: looked up by id, digest compared in
/// constant time, one answer.
#[tokio::test]
async fn api_key_timing_gives_nothing_away() {
    let world = World::new().await;
    let acme = world.api_key("acme").await;
    let beta = world.api_key("beta").await;
    let secret_of = |text: &str| text.splitn(3, '_').nth(2).unwrap().to_owned();
    let mixed = format!("mcpk_{}_{}", acme.key.id, secret_of(beta.text.expose()));
    let unknown = format!("mcpk_{}_{}", "0".repeat(24), secret_of(acme.text.expose()));
    let nothing = format!("mcpk_{}_{}", "0".repeat(24), "A".repeat(43));
    world.expect_unauthenticated(&mixed, "another key's secret").await;
    world.expect_unauthenticated(&unknown, "an unknown id").await;
    world.expect_unauthenticated(&nothing, "an unknown id and a secret of zeros").await;
    let [mixed, unknown] = [world.send_bearer(&mixed).await, world.send_bearer(&unknown).await];
    assert_eq!((mixed.headers(), mixed.body()), (unknown.headers(), unknown.body()));
}

#[tokio::test]
async fn two_credentials_at_once_are_refused() {
    let world = World::new().await;
    let key = world.api_key("acme").await;
    let bearer = format!("Bearer {}", world.token("beta").await);
    for headers in [
        [("authorization", &*bearer), ("x-api-key", key.text.expose())],
        [("authorization", &*bearer), ("authorization", &*bearer)],
    ] {
        assert_unauthenticated(&world.send(&headers).await, "two credentials");
    }
}

#[tokio::test(start_paused = true)]
async fn a_revocation_elsewhere_takes_at_most_a_second() {
    let world = World::new().await;
    let key = world.api_key("acme").await;
    assert_eq!(world.send_bearer(key.text.expose()).await.status(), StatusCode::OK);
    let elsewhere = world.other_replica().await;
    elsewhere.revoke_key(&world.admin, &tenant("acme"), &key.key.id).await.unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    world.expect_unauthenticated(key.text.expose(), "revoked elsewhere").await;
}

#[tokio::test(start_paused = true)]
async fn a_revocation_here_takes_effect_at_once() {
    let world = World::new().await;
    let key = world.api_key("acme").await;
    assert_eq!(world.send_bearer(key.text.expose()).await.status(), StatusCode::OK);
    let foreign = world.tenancy.revoke_key(&world.admin, &tenant("beta"), &key.key.id).await;
    assert_eq!(foreign.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(world.send_bearer(key.text.expose()).await.status(), StatusCode::OK);
    world.tenancy.revoke_key(&world.admin, &tenant("acme"), &key.key.id).await.unwrap();
    world.expect_unauthenticated(key.text.expose(), "revoked").await;
}

#[tokio::test]
async fn an_expired_key_is_refused() {
    let world = World::new().await;
    let permissions = Permissions::parse(["tools:call"]).unwrap();
    let mut new = NewApiKey::service(tenant("acme"), "ci", "robot", permissions).unwrap();
    new.expires_at = Some(world.clock.now());
    assert_eq!(
        world.tenancy.create_key(&world.admin, new.clone()).await.unwrap_err().kind(),
        ErrorKind::InvalidInput
    );
    new.expires_at = Some(world.clock.now().after(Duration::from_secs(60)));
    let key = world.tenancy.create_key(&world.admin, new).await.unwrap();
    assert_eq!(world.send_bearer(key.text.expose()).await.status(), StatusCode::OK);
    world.clock.advance(Duration::from_secs(60));
    world.expect_unauthenticated(key.text.expose(), "expired").await;
}

#[tokio::test]
async fn keys_of_tenants_that_do_not_exist_are_not_made() {
    let world = World::new().await;
    let new = NewApiKey::service(tenant("no-one"), "ci", "robot", Permissions::default()).unwrap();
    assert_eq!(world.tenancy.create_key(&world.admin, new).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn lists_show_no_secret_and_no_other_tenant() {
    let world = World::new().await;
    let key = world.api_key("acme").await;
    world.api_key("beta").await;
    let page = world.tenancy.keys(&world.admin, &tenant("acme"), None, 10).await.unwrap();
    assert_eq!(page.items, std::slice::from_ref(&key.key));
    let secret = key.text.expose().splitn(3, '_').nth(2).unwrap();
    let shown = format!("{}{page:?}{key:?}", serde_json::to_string(&page).unwrap());
    assert!(!shown.contains(secret));
}

#[tokio::test]
async fn a_rotated_secret_works_until_its_time_and_a_new_one_at_once() {
    let world = World::new().await;
    let (tenant, first) = (tenant("acme"), world.api_key("acme").await);
    let hour = Duration::from_secs(3600);
    assert_eq!(world.send_bearer(first.text.expose()).await.status(), StatusCode::OK);
    let second = world.tenancy.rotate_key(&world.admin, &tenant, &first.key.id, hour).await.unwrap();
    for text in [&first.text, &second.text] {
        assert_eq!(world.send_bearer(text.expose()).await.status(), StatusCode::OK);
    }
    world.clock.advance(hour);
    world.expect_unauthenticated(first.text.expose(), "a secret after its overlap").await;
    assert_eq!(world.send_bearer(second.text.expose()).await.status(), StatusCode::OK);

    let third = world.tenancy.rotate_key(&world.admin, &tenant, &first.key.id, hour).await.unwrap();
    world.expect_unauthenticated(first.text.expose(), "the secret before the one before").await;
    let last = world.tenancy.rotate_key(&world.admin, &tenant, &first.key.id, Duration::ZERO).await.unwrap();
    for text in [&second.text, &third.text] {
        world.expect_unauthenticated(text.expose(), "rotated without overlap").await;
    }
    assert_eq!(world.send_bearer(last.text.expose()).await.status(), StatusCode::OK);
    world.tenancy.revoke_key(&world.admin, &tenant, &first.key.id).await.unwrap();
    world.expect_unauthenticated(last.text.expose(), "revoked").await;
    let refused = world.tenancy.rotate_key(&world.admin, &tenant, &first.key.id, hour).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Conflict);
    let long = world.tenancy.rotate_key(&world.admin, &tenant, &first.key.id, MAX_OVERLAP + hour).await;
    assert_eq!(long.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_minted_key_neither_exceeds_nor_outlives_its_maker() {
    let world = World::new().await;
    let token = world.token("acme").await;
    let request = http::Request::builder().header("authorization", format!("Bearer {token}"));
    let (head, ()) = request.body(()).unwrap().into_parts();
    let maker = world.tenancy.authenticators().authenticate(&head).await.unwrap();
    let end = maker.expires_at.unwrap();
    let new = |tenant_id, who, permission, expires_at| {
        let permissions = Permissions::parse([permission]).unwrap();
        let new = NewApiKey::service(tenant(tenant_id), "minted", who, permissions).unwrap();
        NewApiKey { expires_at, ..new }
    };
    let later = end.after(Duration::from_micros(1));
    for (what, refused) in [
        ("another tenant", new("beta", "user-1", "tools:call", None)),
        ("a permission it lacks", new("acme", "user-1", "audit:read", None)),
        ("a wildcard over what it holds", new("acme", "user-1", "tools:*", None)),
        ("everything", new("acme", "user-1", "*", None)),
        ("another principal", new("acme", "user-2", "tools:call", None)),
        ("a longer life", new("acme", "user-1", "tools:call", Some(later))),
    ] {
        let refused = world.tenancy.mint_key(&world.admin, &maker, refused).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::PermissionDenied, "{what}");
    }
    let endless = world.tenancy.mint_key(&world.admin, &maker, new("acme", "user-1", "tools:call", None));
    let minted = endless.await.unwrap();
    assert_eq!(minted.key.expires_at, Some(end));
    assert_eq!(world.send_bearer(minted.text.expose()).await.body(), "user-1 of acme");
    world.clock.set(end);
    world.expect_unauthenticated(minted.text.expose(), "after its maker's end").await;
}

/// A new secret is as good as a new key: whoever rotates a key must be one who could have made it.
#[tokio::test]
async fn a_key_is_rotated_only_by_who_could_have_made_it() {
    let world = World::new().await;
    let identity = async |text: &str| {
        let request = http::Request::builder().header("authorization", format!("Bearer {text}"));
        let (head, ()) = request.body(()).unwrap().into_parts();
        world.tenancy.authenticators().authenticate(&head).await.unwrap()
    };
    let make = async |tenant_id, who, permission| {
        let permissions = Permissions::parse([permission]).unwrap();
        let new = NewApiKey::service(tenant(tenant_id), "k", who, permissions).unwrap();
        world.tenancy.create_key(&world.admin, new).await.unwrap()
    };
    let own = make("acme", "robot", "tools:call").await;
    let maker = identity(own.text.expose()).await;
    for (what, key, kind) in [
        ("another tenant's", make("beta", "robot", "tools:call").await, ErrorKind::NotFound),
        ("one with more permissions", make("acme", "robot", "*").await, ErrorKind::PermissionDenied),
        ("another principal's", make("acme", "admin", "tools:call").await, ErrorKind::PermissionDenied),
    ] {
        let rotate = world.tenancy.rotate_key_for(&world.admin, &maker, &key.key.id, Duration::ZERO);
        assert_eq!(rotate.await.unwrap_err().kind(), kind, "{what}");
        assert_eq!(world.send_bearer(key.text.expose()).await.status(), StatusCode::OK, "{what}");
    }
    let user = make("acme", "user-1", "tools:call").await;
    let token = identity(&world.token("acme").await).await;
    let rotate = world.tenancy.rotate_key_for(&world.admin, &token, &user.key.id, Duration::ZERO);
    assert_eq!(
        rotate.await.unwrap_err().kind(),
        ErrorKind::PermissionDenied,
        "a key that outlives the token"
    );
    let rotate = world.tenancy.rotate_key_for(&world.admin, &maker, &own.key.id, Duration::ZERO);
    let rotated = rotate.await.unwrap();
    assert_eq!(world.send_bearer(rotated.text.expose()).await.status(), StatusCode::OK);
    world.expect_unauthenticated(own.text.expose(), "the secret before").await;
}

#[tokio::test]
async fn a_tenant_has_no_more_keys_than_it_may() {
    let world = World::with(|deps| deps.max_keys = 2).await;
    for _ in 0..2 {
        world.api_key("acme").await;
    }
    let new = NewApiKey::service(tenant("acme"), "ci", "robot", Permissions::default()).unwrap();
    let refused = world.tenancy.create_key(&world.admin, new).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    world.api_key("beta").await;
}

/// Counts the writes of last uses.
#[derive(Debug, Default)]
struct CountingUses(MemoryKeyStore, std::sync::atomic::AtomicUsize);

#[async_trait::async_trait]
impl KeyStore for CountingUses {
    async fn insert(&self, scope: &PlatformScope, key: StoredKey, limit: u32) -> Result<()> {
        self.0.insert(scope, key, limit).await
    }
    async fn find(&self, scope: &PlatformScope, id: &KeyId) -> Result<Option<StoredKey>> {
        self.0.find(scope, id).await
    }
    async fn list(
        &self,
        scope: &PlatformScope,
        tenant: &TenantId,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<ApiKey>> {
        self.0.list(scope, tenant, cursor, limit).await
    }
    async fn rotate(
        &self,
        scope: &PlatformScope,
        tenant: &TenantId,
        id: &KeyId,
        digest: KeyDigest,
        until: Option<Timestamp>,
    ) -> Result<ApiKey> {
        self.0.rotate(scope, tenant, id, digest, until).await
    }
    async fn used(&self, scope: &PlatformScope, used: &[(KeyId, Timestamp)]) -> Result<()> {
        self.1.fetch_add(used.len(), std::sync::atomic::Ordering::SeqCst);
        self.0.used(scope, used).await
    }
    async fn revoke(&self, scope: &PlatformScope, tenant: &TenantId, id: &KeyId) -> Result<ApiKey> {
        self.0.revoke(scope, tenant, id).await
    }
}

#[tokio::test(start_paused = true)]
async fn uses_are_written_once_a_minute_and_at_the_end() {
    let store = Arc::new(CountingUses::default());
    let kept = store.clone();
    let world = World::with(move |deps| deps.keys = kept).await;
    let key = world.api_key("acme").await;
    let writes = || store.1.load(std::sync::atomic::Ordering::SeqCst);
    let listed =
        async || world.tenancy.keys(&world.admin, &tenant("acme"), None, 1).await.unwrap().items.remove(0);
    for second in 1..=130 {
        world.clock.advance(Duration::from_secs(1));
        world.send_bearer(key.text.expose()).await;
        world.send_bearer(key.text.expose()).await;
        tokio::time::advance(Duration::from_secs(1)).await;
        tokio::task::yield_now().await;
        assert!(writes() <= second / 60, "{} writes after {second} s", writes());
    }
    assert!(writes() >= 1 && listed().await.last_used_at.is_some());
    world.expect_unauthenticated(&format!("{}A", key.text.expose()), "a refused use").await;
    world.clock.advance(Duration::from_secs(1));
    world.send_bearer(key.text.expose()).await;
    world.tenancy.shutdown().await;
    assert_eq!(listed().await.last_used_at, Some(world.clock.now()));
}
