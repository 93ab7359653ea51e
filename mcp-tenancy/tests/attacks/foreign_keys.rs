//! How long foreign tokens, their keys and their issuers live, and how often issuers are asked.

use std::time::Duration;

use http::StatusCode;
use mcp_core::{
    clock::Clock as _,
    conformance::eventually,
    scope::{Permissions, Principal},
};
use mcp_tenancy::{
    foreign::{ForeignConfig, IssuerState},
    issuer::{IssuerId, NewIssuer},
    revocation::DeniedToken,
};
use serde_json::json;

use crate::{
    issuers::{Answer, Foreign, Pair, Server, claims, spec},
    support::{NOW, tenant},
};

async fn acme(keys: &[&Pair]) -> (Foreign, Server) {
    let foreign = Foreign::new().await;
    let server = foreign.with_issuer("login", "acme", keys).await;
    (foreign, server)
}

fn state(foreign: &Foreign) -> IssuerState {
    foreign.issuers.directory().health()[0].state
}

#[tokio::test]
async fn many_first_tokens_ask_the_issuer_once() {
    let pair = Pair::es256("k1");
    let (foreign, server) = acme(&[&pair]).await;
    let tokens: Vec<_> = (0..32)
        .map(|n| {
            let mut claims = claims(&server.url());
            claims["jti"] = n.to_string().into();
            pair.sign(&claims)
        })
        .collect();
    let sent = tokens.iter().map(|token| foreign.send_bearer(token));
    for response in futures_util::future::join_all(sent).await {
        assert_eq!(response.status(), StatusCode::OK);
    }
    assert_eq!(server.asked("/jwks").len(), 1);
}

#[tokio::test]
async fn a_new_key_is_found_and_unknown_ones_ask_at_a_bounded_rate() {
    let (first, second) = (Pair::es256("k1"), Pair::es256("k2"));
    let (foreign, server) = acme(&[&first]).await;
    let claims = claims(&server.url());
    foreign.expect(&first.sign(&claims), "login:ada of acme").await;
    for n in 0..50 {
        let mut stranger = second.clone();
        stranger.public["kid"] = format!("unknown-{n}").into();
        foreign.expect_unauthenticated(&stranger.sign(&claims), "an unknown kid").await;
    }
    // The first keys came a moment ago: not one more question within ten seconds.
    assert_eq!(server.asked("/jwks").len(), 1);
    server.publish(&[&second, &first]);
    foreign.clock.advance(Duration::from_secs(10));
    foreign.expect(&second.sign(&claims), "login:ada of acme").await;
    assert_eq!(server.asked("/jwks").len(), 2);
}

#[tokio::test]
async fn a_removed_key_takes_its_tokens_along_within_the_stated_time() {
    let (first, second) = (Pair::es256("k1"), Pair::es256("k2"));
    let (foreign, server) = acme(&[&first, &second]).await;
    let (of_first, of_second) = (first.sign(&claims(&server.url())), second.sign(&claims(&server.url())));
    foreign.expect(&of_first, "login:ada of acme").await;
    foreign.expect(&of_second, "login:ada of acme").await;
    server.publish(&[&second]);
    foreign.clock.advance(Duration::from_secs(299));
    foreign.expect(&of_first, "login:ada of acme").await;
    // Nobody has to use the token: keys in use are refreshed by themselves.
    foreign.clock.advance(Duration::from_secs(2));
    eventually("stale keys are not refreshed", || async { Ok(server.asked("/jwks").len() == 2) })
        .await
        .unwrap();
    foreign.refused_soon(&of_first, "a token whose key was removed").await;
    foreign.expect(&of_second, "login:ada of acme").await;
}

#[tokio::test]
async fn keys_outlive_their_issuer_for_the_stated_time_and_no_longer() {
    let pair = Pair::es256("k1");
    let (foreign, server) = acme(&[&pair]).await;
    assert_eq!(state(&foreign), IssuerState::Unused);
    let token = pair.sign(&claims(&server.url()));
    foreign.expect(&token, "login:ada of acme").await;
    assert_eq!(state(&foreign), IssuerState::Fresh);
    server.fail();
    foreign.clock.advance(Duration::from_secs(600));
    eventually("nobody says that the keys are stale", || async {
        foreign.expect(&token, "login:ada of acme").await;
        Ok(matches!(state(&foreign), IssuerState::Stale { .. }))
    })
    .await
    .unwrap();
    foreign.clock.advance(Duration::from_secs(301));
    foreign.expect_unavailable(&token, "keys that are too old").await;
    assert!(matches!(state(&foreign), IssuerState::Unreachable { .. }));
    let mut another = claims(&server.url());
    another["jti"] = "another".into();
    foreign.expect_unavailable(&pair.sign(&another), "keys that are too old").await;
    // It is asked again, though not at each request.
    server.publish(&[&pair]);
    foreign.clock.advance(Duration::from_secs(5));
    foreign.expect(&token, "login:ada of acme").await;
    assert_eq!(state(&foreign), IssuerState::Fresh);
}

#[tokio::test]
async fn an_issuer_that_is_away_is_asked_at_a_bounded_rate() {
    let pair = Pair::es256("k1");
    let (foreign, server) = acme(&[&pair]).await;
    server.fail();
    let token = pair.sign(&claims(&server.url()));
    for _ in 0..20 {
        foreign.expect_unavailable(&token, "no keys").await;
    }
    assert_eq!(server.requests(), 1);
}

#[tokio::test]
async fn cache_control_is_obeyed_within_bounds() {
    let pair = Pair::es256("k1");
    let (foreign, server) = acme(&[&pair]).await;
    let keys = json!({ "keys": [pair.public] }).to_string().into_bytes();
    server.set("/jwks", Answer(StatusCode::OK, vec![("cache-control", "max-age=1".to_owned())], keys));
    let token = pair.sign(&claims(&server.url()));
    foreign.expect(&token, "login:ada of acme").await;
    foreign.clock.advance(Duration::from_secs(29));
    foreign.expect(&token, "login:ada of acme").await;
    assert_eq!(server.asked("/jwks").len(), 1);
    foreign.clock.advance(Duration::from_secs(1));
    eventually("keys that are stale are not refreshed", || async { Ok(server.asked("/jwks").len() == 2) })
        .await
        .unwrap();
}

#[tokio::test]
async fn times_are_checked_on_every_use() {
    let pair = Pair::es256("k1");
    let (foreign, server) = acme(&[&pair]).await;
    let mut short = claims(&server.url());
    short["exp"] = (NOW + 20).into();
    let token = pair.sign(&short);
    foreign.expect(&token, "login:ada of acme").await;
    foreign.clock.advance(Duration::from_secs(20));
    foreign.expect_unauthenticated(&token, "expired, though verified before").await;
    short["exp"] = (NOW + 20).into();
    short["jti"] = "late".into();
    foreign.expect_unauthenticated(&pair.sign(&short), "expired").await;
}

#[tokio::test]
async fn a_changed_or_removed_issuer_takes_its_tokens_along() {
    let pair = Pair::es256("k1");
    let (foreign, server) = acme(&[&pair]).await;
    let token = pair.sign(&claims(&server.url()));
    foreign.expect(&token, "login:ada of acme").await;
    let id = IssuerId::parse("login").unwrap();
    let mut narrower = spec("acme", server.url());
    narrower.audiences = ["https://elsewhere.example".to_owned()].into();
    let change = NewIssuer { expected_version: Some(1), ..NewIssuer::new(id.clone(), narrower) };
    foreign.tenancy.put_issuer(&foreign.admin, change).await.unwrap();
    foreign.expect_unauthenticated(&token, "an audience that is no longer declared").await;
    let back =
        NewIssuer { expected_version: Some(2), ..NewIssuer::new(id.clone(), spec("acme", server.url())) };
    foreign.tenancy.put_issuer(&foreign.admin, back).await.unwrap();
    foreign.expect(&token, "login:ada of acme").await;
    foreign.tenancy.remove_issuer(&foreign.admin, &id, 3).await.unwrap();
    foreign.expect_unauthenticated(&token, "an issuer that was removed").await;
}

/// A change made by another replica counts within its poll interval.
#[tokio::test]
async fn a_removal_or_revocation_elsewhere_is_seen() {
    let pair = Pair::es256("k1");
    let (foreign, server) = acme(&[&pair]).await;
    let elsewhere = foreign.other_replica().await;
    let url = server.url();
    let token = |jti: &str| {
        let mut claims = claims(&url);
        claims["jti"] = jti.into();
        pair.sign(&claims)
    };
    let (one, two) = (token("one"), token("two"));
    foreign.expect(&one, "login:ada of acme").await;
    foreign.expect(&two, "login:ada of acme").await;
    let expires_at = foreign.clock.now().after(Duration::from_secs(3600));
    let denied =
        DeniedToken { tenant: tenant("acme"), issuer: url.clone(), id: "one".to_owned(), expires_at };
    elsewhere.revoke_token(&foreign.admin, denied).await.unwrap();
    foreign.refused_soon(&one, "a token that was revoked elsewhere").await;
    foreign.expect(&two, "login:ada of acme").await;
    let id = IssuerId::parse("login").unwrap();
    elsewhere.remove_issuer(&foreign.admin, &id, 1).await.unwrap();
    foreign.refused_soon(&two, "a token of an issuer that was removed elsewhere").await;
}

/// Denials and epochs reach the platform's own tokens and foreign ones, and nobody else's.
#[tokio::test]
async fn a_denied_token_and_an_epoch_end_what_they_name() {
    let pair = Pair::es256("k1");
    let (foreign, server) = acme(&[&pair]).await;
    let mut undated = claims(&server.url());
    undated.as_object_mut().unwrap().remove("iat");
    let (dated, undated) = (pair.sign(&claims(&server.url())), pair.sign(&undated));
    let (own, beta) = (foreign.token("acme").await, foreign.token("beta").await);
    for (token, body) in
        [(&dated, "login:ada of acme"), (&undated, "login:ada of acme"), (&own, "user-1 of acme")]
    {
        foreign.expect(token, body).await;
    }
    foreign.expect(&beta, "user-1 of beta").await;
    foreign.tenancy.end_tokens(&foreign.admin, &tenant("acme")).await.unwrap();
    for token in [&dated, &undated, &own] {
        foreign.expect_unauthenticated(token, "issued before the epoch").await;
    }
    foreign.expect(&beta, "user-1 of beta").await;
    // The store's clock is the world's: a token issued after the epoch is good.
    foreign.clock.advance(Duration::from_secs(1));
    let mut later = claims(&server.url());
    later["iat"] = (NOW + 1).into();
    foreign.expect(&pair.sign(&later), "login:ada of acme").await;
    let principal = Principal { permissions: Permissions::default(), ..crate::support::principal("user-1") };
    let (acme, hour) = (tenant("acme"), Duration::from_secs(3600));
    let fresh = foreign.tenancy.issue_token(&foreign.admin, &acme, &principal, hour).await.unwrap();
    foreign.expect(fresh.token.expose(), "user-1 of acme").await;
    let denied = DeniedToken {
        tenant: acme,
        issuer: format!("{}/t/acme", crate::support::ISSUER),
        id: fresh.id.to_string(),
        expires_at: fresh.expires_at,
    };
    foreign.tenancy.revoke_token(&foreign.admin, denied).await.unwrap();
    foreign.expect_unauthenticated(fresh.token.expose(), "revoked").await;
    foreign.expect(&pair.sign(&later), "login:ada of acme").await;
}

#[test]
fn the_bounds_are_the_ones_that_are_documented() {
    let config = ForeignConfig::default();
    let seconds =
        [config.keys_fresh_for, config.keys_stale_for, config.active_for].map(|time| time.as_secs());
    assert_eq!(seconds, [300, 900, 30]);
}
