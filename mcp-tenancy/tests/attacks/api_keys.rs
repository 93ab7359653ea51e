//! Attacks on API keys.

use std::time::Duration;

use crate::support::{World, assert_unauthenticated, tenant};
use http::StatusCode;
use mcp_core::{ErrorKind, clock::Clock as _, scope::Permissions};
use mcp_tenancy::key::NewApiKey;

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
