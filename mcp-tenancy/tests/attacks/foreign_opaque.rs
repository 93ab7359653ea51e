//! Attacks with opaque tokens, whose issuer is asked about them.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Response, StatusCode};
use mcp_core::conformance::eventually;
use mcp_tenancy::{
    foreign::IssuerState,
    issuer::{IssuerSpec, TokenCheck},
};
use serde_json::{Value, json};

use crate::{
    issuers::{Answer, Foreign, Pair, Server, claims, spec},
    support::{AUDIENCE, NOW, tenant},
};

const TOKEN: &str = "LUoWaHQu23qPBq88tWvFMjEkyzTFbG2y9g7BsEXp";

fn active(url: &str) -> Value {
    let mut claims = claims(url);
    claims["active"] = true.into();
    claims["token_type"] = "Bearer".into();
    claims
}

impl Foreign {
    /// An issuer of `tenant` that is asked, and says that every token is active.
    async fn asked(&self, id: &str, tenant_id: &str) -> Server {
        let server = Server::start().await;
        server.publish(&[]);
        server.set("/introspect", Answer::json(&active(&server.url())));
        let check = TokenCheck::introspection("plat: form");
        self.declare(id, IssuerSpec { check, ..spec(tenant_id, server.url()) }).await;
        server
    }

    async fn send_for(&self, token: &str, tenant_id: &str) -> Response<Bytes> {
        let bearer = format!("Bearer {token}");
        self.send(&[("authorization", &bearer), ("x-tenant-id", tenant_id)]).await
    }
}

#[tokio::test]
async fn an_active_token_is_its_issuer_s_word() {
    let foreign = Foreign::new().await;
    let server = foreign.asked("opaque", "acme").await;
    assert_eq!(foreign.send_for(TOKEN, "acme").await.body(), "opaque:ada of acme");
    assert_eq!(server.asked("/introspect"), [format!("token={TOKEN}&token_type_hint=access_token")]);
    let credentials = STANDARD.encode("plat%3A+form:s%3A+%26%25");
    assert_eq!(server.last_authorization(), format!("Basic {credentials}"));
    // Its word holds for a while: nobody asks again.
    foreign.send_for(TOKEN, "acme").await;
    assert_eq!(server.asked("/introspect").len(), 1);
}

#[tokio::test]
async fn a_revoked_token_is_refused_within_the_stated_time() {
    let foreign = Foreign::new().await;
    let server = foreign.asked("opaque", "acme").await;
    assert_eq!(foreign.send_for(TOKEN, "acme").await.status(), StatusCode::OK);
    server.set("/introspect", Answer::json(&json!({ "active": false })));
    foreign.clock.advance(Duration::from_secs(29));
    assert_eq!(foreign.send_for(TOKEN, "acme").await.status(), StatusCode::OK);
    foreign.clock.advance(Duration::from_secs(1));
    assert_eq!(foreign.send_for(TOKEN, "acme").await.status(), StatusCode::UNAUTHORIZED);
    let asked = server.asked("/introspect").len();
    for _ in 0..10 {
        assert_eq!(foreign.send_for(TOKEN, "acme").await.status(), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(server.asked("/introspect").len(), asked, "a token known to be inactive was asked about");
    foreign.clock.advance(Duration::from_secs(5));
    foreign.send_for(TOKEN, "acme").await;
    assert_eq!(server.asked("/introspect").len(), asked + 1);
}

/// A token is shown to one issuer: that of the tenant the request names, else the shared one. Secrets of the platform
/// are shown to none.
#[tokio::test]
async fn a_token_is_never_shown_to_another_tenant_s_issuer() {
    let foreign = Foreign::new().await;
    let acme = foreign.asked("a", "acme").await;
    let beta = foreign.asked("b", "beta").await;
    assert_eq!(foreign.send_for(TOKEN, "acme").await.body(), "a:ada of acme");
    assert_eq!(foreign.send_for(TOKEN, "beta").await.body(), "b:ada of beta");
    let asked = (acme.requests(), beta.requests());
    foreign.expect_unauthenticated(TOKEN, "no tenant is named, and no issuer is shared").await;
    for named in ["gamma", "ACME", "acme, beta", ""] {
        let status = foreign.send_for(TOKEN, named).await.status();
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{named:?}");
    }
    let key = foreign.api_key("acme").await;
    let secret = key.text.expose();
    for token in [secret.clone(), format!("{secret}x"), secret.replace("mcpk_", "mcpo_")] {
        foreign.send_for(&token, "acme").await;
    }
    let jwt = Pair::es256("k1").sign(&claims("https://unknown.example"));
    foreign.send_for(&jwt, "acme").await;
    assert_eq!((acme.requests(), beta.requests()), asked, "a token was shown to somebody it is not of");

    let shared = foreign.asked("s", "-").await;
    foreign.expect(TOKEN, "s:ada of acme").await;
    assert_eq!(foreign.send_for(TOKEN, "gamma").await.status(), StatusCode::FORBIDDEN);
    assert_eq!(shared.asked("/introspect").len(), 1);
    // The shared issuer says that it is acme's; asking for beta's with beta's own issuer is another question.
    assert_eq!(foreign.send_for(TOKEN, "beta").await.body(), "b:ada of beta");
}

#[tokio::test]
async fn answers_of_a_wrong_type_or_about_something_else_are_refused() {
    let foreign = Foreign::new().await;
    let server = foreign.asked("opaque", "acme").await;
    let mut n = 0;
    for (claim, value, status) in [
        ("active", json!("true"), StatusCode::SERVICE_UNAVAILABLE),
        ("active", json!(1), StatusCode::SERVICE_UNAVAILABLE),
        ("active", Value::Null, StatusCode::SERVICE_UNAVAILABLE),
        ("iss", json!("https://other.example"), StatusCode::UNAUTHORIZED),
        ("aud", json!("https://other.example"), StatusCode::UNAUTHORIZED),
        ("aud", Value::Null, StatusCode::UNAUTHORIZED),
        ("exp", json!(NOW), StatusCode::UNAUTHORIZED),
        ("exp", json!((NOW + 9).to_string()), StatusCode::UNAUTHORIZED),
        ("nbf", json!(NOW + 31), StatusCode::UNAUTHORIZED),
        ("sub", Value::Null, StatusCode::UNAUTHORIZED),
        ("token_type", json!("DPoP"), StatusCode::UNAUTHORIZED),
        ("token_type", json!(7), StatusCode::UNAUTHORIZED),
        ("cnf", json!({ "x5t#S256": "x" }), StatusCode::UNAUTHORIZED),
        ("scope", json!([{ "*": true }]), StatusCode::UNAUTHORIZED),
    ] {
        n += 1;
        let mut answer = active(&server.url());
        answer[claim] = value.clone();
        server.set("/introspect", Answer::json(&answer));
        let got = foreign.send_for(&format!("{TOKEN}{n}"), "acme").await.status();
        assert_eq!(got, status, "{claim} = {value}");
    }
    let minimal = json!({ "active": true, "aud": [AUDIENCE], "sub": "ada" });
    server.set("/introspect", Answer::json(&minimal));
    assert_eq!(foreign.send_for(&format!("{TOKEN}-minimal"), "acme").await.body(), "opaque:ada of acme");
}

#[tokio::test]
async fn an_issuer_that_is_away_or_lies_vouches_for_nobody() {
    let foreign = Foreign::new().await;
    let server = foreign.asked("opaque", "acme").await;
    assert_eq!(foreign.send_for(TOKEN, "acme").await.status(), StatusCode::OK);
    for answer in [
        Answer(StatusCode::INTERNAL_SERVER_ERROR, Vec::new(), Vec::new()),
        Answer(StatusCode::UNAUTHORIZED, Vec::new(), Vec::new()),
        Answer(StatusCode::OK, Vec::new(), b"<html>".to_vec()),
        Answer(StatusCode::OK, Vec::new(), b"{\"active\":true,\"active\":true}".to_vec()),
        Answer(StatusCode::FOUND, vec![("location", server.url())], Vec::new()),
        Answer(StatusCode::OK, Vec::new(), vec![b' '; 300 * 1024]),
    ] {
        server.set("/introspect", answer);
        let other = foreign.send_for("another-token", "acme").await;
        assert_eq!(other.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(foreign.send_for(TOKEN, "acme").await.status(), StatusCode::OK, "what it said before");
    }
    let health = foreign.issuers.directory().health();
    assert!(matches!(health[0].state, IssuerState::Unreachable { .. }), "{health:?}");
    foreign.clock.advance(Duration::from_secs(30));
    assert_eq!(foreign.send_for(TOKEN, "acme").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    server.set("/introspect", Answer::json(&active(&server.url())));
    assert_eq!(foreign.send_for(TOKEN, "acme").await.status(), StatusCode::OK);
    assert_eq!(foreign.issuers.directory().health()[0].state, IssuerState::Fresh);
}

/// The tenant's epoch reaches opaque tokens that an issuer vouched for a moment ago.
#[tokio::test]
async fn an_epoch_ends_opaque_tokens() {
    let foreign = Foreign::new().await;
    foreign.asked("opaque", "acme").await;
    assert_eq!(foreign.send_for(TOKEN, "acme").await.status(), StatusCode::OK);
    foreign.tenancy.end_tokens(&foreign.admin, &tenant("acme")).await.unwrap();
    eventually("an epoch did not end an opaque token", || async {
        Ok(foreign.send_for(TOKEN, "acme").await.status() == StatusCode::UNAUTHORIZED)
    })
    .await
    .unwrap();
}
