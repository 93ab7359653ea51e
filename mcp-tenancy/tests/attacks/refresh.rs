//! Attacks on refresh tokens.

use std::time::Duration;

use crate::support::{World, tenant};
use futures_util::future::join_all;
use http::StatusCode;
use mcp_core::{ErrorKind, Result, clock::Clock as _, key::Secret, scope::Permissions};
use mcp_tenancy::{
    auth::Identity,
    key::{IssuedKey, NewApiKey},
    refresh::{TokenRequest, TokenResponse},
};

const GRACE: Duration = Duration::from_secs(10);

impl World {
    async fn identity(&self, credential: &str) -> Result<Identity> {
        let request = http::Request::builder().header("authorization", format!("Bearer {credential}"));
        let (head, ()) = request.body(()).unwrap().into_parts();
        self.tenancy.authenticators().authenticate(&head).await
    }

    async fn granted(&self, key: &IssuedKey) -> TokenResponse {
        let identity = self.identity(key.text.expose()).await.unwrap();
        self.tenancy.grant_for_key(&self.admin, &identity, TokenRequest::default()).await.unwrap()
    }

    async fn redeem(&self, token: &str) -> Result<TokenResponse> {
        let token = Secret::new(token.to_owned());
        self.tenancy.grant_for_refresh_token(&self.admin, &token, TokenRequest::default()).await
    }

    async fn expect_not_redeemed(&self, token: &str, what: &str) {
        let refused = self.redeem(token).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Unauthenticated, "{what}");
        assert!(!format!("{refused:?}").contains(token) || token.len() < 20, "{what}");
    }
}

fn refresh(response: &TokenResponse) -> String {
    response.refresh_token.expose().clone()
}

#[tokio::test]
async fn a_grant_has_the_shape_of_the_contract_and_works() {
    let world = World::new().await;
    let granted = world.granted(&world.api_key("acme").await).await;
    assert_eq!(world.send_bearer(granted.access_token.expose()).await.body(), "robot of acme");
    let json = serde_json::to_value(&granted).unwrap();
    let mut fields: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    let expected =
        ["access_token", "expires_in", "permissions", "refresh_token", "tenant_id", "token_type", "user_id"];
    assert_eq!(fields, expected);
    assert_eq!((&json["token_type"], &json["expires_in"]), (&"Bearer".into(), &3600.into()));
    assert_eq!((&json["tenant_id"], &json["user_id"]), (&"acme".into(), &"robot".into()));
    assert!(!format!("{granted:?}").contains(granted.refresh_token.expose()));
    world.expect_unauthenticated(granted.refresh_token.expose(), "a refresh token as a credential").await;
    world.expect_not_redeemed(granted.access_token.expose(), "an access token as a refresh token").await;
}

/// 64 redemptions of one token at once leave one lineage; whoever comes with it later ends that.
#[tokio::test]
async fn refresh_reuse_leaves_one_lineage_and_ends_it() {
    let world = World::new().await;
    let first = refresh(&world.granted(&world.api_key("acme").await).await);
    let redeemed = join_all((0..64).map(|_| world.redeem(&first))).await;
    let redeemed = redeemed.into_iter().collect::<Result<Vec<_>>>().unwrap();
    let second = refresh(&redeemed[0]);
    assert!(redeemed.iter().all(|response| refresh(response) == second), "more than one lineage");
    assert_ne!(first, second);
    for response in &redeemed {
        assert_eq!(world.send_bearer(response.access_token.expose()).await.status(), StatusCode::OK);
    }
    let third = refresh(&world.redeem(&second).await.unwrap());
    world.expect_not_redeemed(&first, "replaced twice").await;
    for token in [&first, &second, &third] {
        world.expect_not_redeemed(token, "of a lineage that has ended").await;
    }
}

#[tokio::test]
async fn a_retry_gets_the_same_successor_within_the_grace_and_not_after() {
    let world = World::new().await;
    let first = refresh(&world.granted(&world.api_key("acme").await).await);
    let second = refresh(&world.redeem(&first).await.unwrap());
    world.clock.advance(GRACE - Duration::from_micros(1));
    assert_eq!(refresh(&world.redeem(&first).await.unwrap()), second);
    world.clock.advance(Duration::from_micros(1));
    world.expect_not_redeemed(&first, "after the grace").await;
    world.expect_not_redeemed(&second, "its lineage has ended").await;
}

/// Tokens that were never issued end nothing, or everybody who knows a lineage's id could end it.
#[tokio::test]
async fn every_prefix_and_every_forgery_is_refused_and_ends_nothing() {
    let world = World::new().await;
    let key = world.api_key("acme").await;
    let (token, other) = (refresh(&world.granted(&key).await), refresh(&world.granted(&key).await));
    for end in 0..token.len() {
        world.expect_not_redeemed(&token[..end], &format!("length {end}")).await;
    }
    for at in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'b' { b'c' } else { b'b' };
        world.expect_not_redeemed(std::str::from_utf8(&bytes).unwrap(), &format!("byte {at}")).await;
    }
    let parts = |token: &str| {
        let mut parts = token.splitn(3, '_').map(str::to_owned);
        (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap())
    };
    let ((prefix, family, _), (_, _, secret)) = (parts(&token), parts(&other));
    world.expect_not_redeemed(&format!("{prefix}_{family}_{secret}"), "another lineage's secret").await;
    world.expect_not_redeemed(&format!("{prefix}_{family}_{}", "A".repeat(64)), "zeros").await;
    world.expect_not_redeemed(&format!("{token}A"), "longer").await;
    world.redeem(&token).await.unwrap();
    world.redeem(&other).await.unwrap();
}

/// Whatever is disabled in mid-flow, no grant goes on.
#[tokio::test(start_paused = true)]
async fn every_grant_fails_once_what_is_behind_it_may_not_be_used() {
    let world = World::new().await;
    let key = world.api_key("acme").await;
    let (first, second) = (world.granted(&key).await, world.granted(&key).await);
    world.tenancy.suspend_tenant(&world.admin, &tenant("acme")).await.unwrap();
    let identity = world.identity(key.text.expose()).await.unwrap();
    let granted = world.tenancy.grant_for_key(&world.admin, &identity, TokenRequest::default()).await;
    assert_eq!(granted.unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(world.redeem(&refresh(&first)).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
    world.tenancy.resume_tenant(&world.admin, &tenant("acme")).await.unwrap();
    let next = refresh(&world.redeem(&refresh(&first)).await.unwrap());

    world.tenancy.revoke_key(&world.admin, &tenant("acme"), &key.key.id).await.unwrap();
    for (token, what) in [(next, "redeemed before"), (refresh(&second), "never redeemed")] {
        world.expect_not_redeemed(&token, what).await;
    }
    assert_eq!(world.identity(key.text.expose()).await.unwrap_err().kind(), ErrorKind::Unauthenticated);
}

#[tokio::test]
async fn permissions_only_shrink() {
    let world = World::new().await;
    let permissions = Permissions::parse(["tools:*", "audit:read"]).unwrap();
    let new = NewApiKey::service(tenant("acme"), "ci", "robot", permissions.clone()).unwrap();
    let key = world.tenancy.create_key(&world.admin, new).await.unwrap();
    let identity = world.identity(key.text.expose()).await.unwrap();
    let wanting = |list: &[&str]| TokenRequest {
        permissions: Some(Permissions::parse(list.iter().copied()).unwrap()),
        lifetime: None,
    };
    for more in [&["*"][..], &["audit:*"], &["tools:call", "keys:write"], &["*:*"]] {
        let granted = world.tenancy.grant_for_key(&world.admin, &identity, wanting(more)).await;
        assert_eq!(granted.unwrap_err().kind(), ErrorKind::PermissionDenied, "{more:?}");
    }
    let less = world.tenancy.grant_for_key(&world.admin, &identity, wanting(&["tools:*"])).await.unwrap();
    assert_eq!(less.permissions, Permissions::parse(["tools:*"]).unwrap());
    let redeem = async |token: &Secret<String>, request| {
        world.tenancy.grant_for_refresh_token(&world.admin, token, request).await
    };
    for more in [&["audit:read"][..], &["*"]] {
        let refused = redeem(&less.refresh_token, wanting(more)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::PermissionDenied, "{more:?}");
    }
    let least = redeem(&less.refresh_token, wanting(&["tools:call"])).await.unwrap();
    assert_eq!(least.permissions, Permissions::parse(["tools:call"]).unwrap());
    let again = redeem(&least.refresh_token, TokenRequest::default()).await.unwrap();
    assert_eq!(again.permissions, less.permissions, "a narrower access token narrows no lineage");
}

#[tokio::test]
async fn nothing_granted_outlives_its_key_or_its_lineage() {
    let world = World::new().await;
    let permissions = Permissions::parse(["tools:call"]).unwrap();
    let mut new = NewApiKey::service(tenant("acme"), "ci", "robot", permissions).unwrap();
    new.expires_at = Some(world.clock.now().after(Duration::from_secs(600)));
    let key = world.tenancy.create_key(&world.admin, new).await.unwrap();
    let granted = world.granted(&key).await;
    assert_eq!(granted.expires_in, 600);
    world.clock.advance(Duration::from_secs(500));
    let next = world.redeem(&refresh(&granted)).await.unwrap();
    assert_eq!(next.expires_in, 100);
    world.clock.advance(Duration::from_secs(100));
    world.expect_not_redeemed(&refresh(&next), "after its key").await;

    let token = refresh(&world.granted(&world.api_key("acme").await).await);
    world.clock.advance(Duration::from_secs(13 * 24 * 3600));
    let token = refresh(&world.redeem(&token).await.unwrap());
    world.clock.advance(Duration::from_secs(24 * 3600));
    world.expect_not_redeemed(&token, "after two weeks, though used yesterday").await;
}

#[tokio::test]
async fn only_keys_are_granted_tokens_and_a_lineage_can_be_ended() {
    let world = World::new().await;
    let by_token = world.identity(&world.token("acme").await).await.unwrap();
    let granted = world.tenancy.grant_for_key(&world.admin, &by_token, TokenRequest::default()).await;
    assert_eq!(granted.unwrap_err().kind(), ErrorKind::PermissionDenied);
    let granted = world.granted(&world.api_key("acme").await).await;
    for nothing in ["", "mcpr_", "mcpr_000000000000000000000000_AAAA"] {
        world.tenancy.revoke_refresh_token(&world.admin, &Secret::new(nothing.to_owned())).await.unwrap();
    }
    let next = world.redeem(&refresh(&granted)).await.unwrap();
    world.tenancy.revoke_refresh_token(&world.admin, &next.refresh_token).await.unwrap();
    world.expect_not_redeemed(&refresh(&next), "logged out").await;
}
