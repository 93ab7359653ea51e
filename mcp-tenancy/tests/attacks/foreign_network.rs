//! Issuers as a way into the operator's network, and issuers that are slow, down or lying.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use http::StatusCode;
use mcp_core::ErrorKind;
use mcp_tenancy::issuer::{IssuerId, IssuerSpec, KeySource, NewIssuer, TokenCheck};
use serde_json::json;
use tokio::net::TcpListener;

use crate::issuers::{Answer, Foreign, Pair, Server, claims, spec};

/// Counts who connects.
struct Bait {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Bait {
    async fn lay() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, connections) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
        let counter = connections.clone();
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counter.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { port, connections }
    }

    fn taken(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// Every spelling of this machine's addresses, as a name that resolves to one too: what an issuer's declaration may
/// name only if an operator says so.
fn spellings(port: u16) -> [String; 9] {
    [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "0.0.0.0",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "localhost",
    ]
    .map(|host| format!("https://{host}:{port}"))
}

#[tokio::test]
async fn an_issuer_cannot_be_at_a_private_address() {
    let (foreign, bait, pair) = (Foreign::new().await, Bait::lay().await, Pair::es256("k1"));
    for (n, url) in spellings(bait.port).into_iter().enumerate() {
        let public = IssuerSpec { private_addresses: false, ..spec("acme", url.clone()) };
        foreign.declare(&format!("i{n}"), public).await;
        foreign.expect_unavailable(&pair.sign(&claims(&url)), &url).await;
    }
    assert_eq!(bait.taken(), 0, "a private address was dialled");
}

#[tokio::test]
async fn keys_and_introspection_cannot_be_at_a_private_address() {
    let (foreign, bait, pair) = (Foreign::new().await, Bait::lay().await, Pair::es256("k1"));
    for (n, url) in spellings(bait.port).into_iter().enumerate() {
        let issuer = format!("https://login-{n}.example");
        let mut keys = spec("acme", issuer.clone());
        keys.private_addresses = false;
        keys.check = TokenCheck::Jwt {
            keys: KeySource::JwksUri(format!("{url}/jwks")),
            algorithms: [mcp_tenancy::issuer::SigningAlgorithm::Es256].into(),
            types: [mcp_tenancy::issuer::TokenType::AccessToken].into(),
        };
        foreign.declare(&format!("i{n}"), keys).await;
        foreign.expect_unavailable(&pair.sign(&claims(&issuer)), &url).await;
    }
    let mut asked = spec("acme", "https://opaque.example".to_owned());
    asked.private_addresses = false;
    let endpoint = Some(format!("https://127.0.0.1:{}/introspect", bait.port));
    asked.check = TokenCheck::Introspection { endpoint, client_id: "platform".to_owned() };
    foreign.declare("opaque", asked).await;
    let headers = [("authorization", "Bearer opaque-token"), ("x-tenant-id", "acme")];
    assert_eq!(foreign.send(&headers).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(bait.taken(), 0, "a private address was dialled");
}

/// What an operator allowed an issuer's own host is not allowed the hosts that its documents name.
#[tokio::test]
async fn a_document_or_redirect_leads_nowhere_private() {
    let (foreign, bait, pair) = (Foreign::new().await, Bait::lay().await, Pair::es256("k1"));
    for (n, elsewhere) in spellings(bait.port).into_iter().enumerate() {
        let server = Server::start().await;
        let metadata = json!({ "issuer": server.url(), "jwks_uri": format!("{elsewhere}/jwks") });
        server.set("/.well-known/openid-configuration", Answer::json(&metadata));
        foreign.declare(&format!("d{n}"), spec("acme", server.url())).await;
        foreign.expect_unavailable(&pair.sign(&claims(&server.url())), &elsewhere).await;
        assert_eq!(server.requests(), 1);
    }
    let server = Server::start().await;
    server.publish(&[&pair]);
    let location = format!("http://127.0.0.1:{}/jwks", bait.port);
    for status in [301, 302, 303, 307, 308] {
        let status = StatusCode::from_u16(status).unwrap();
        server.set("/jwks", Answer(status, vec![("location", location.clone())], Vec::new()));
        let id = format!("r{}", status.as_u16());
        let url = server.url();
        let own = IssuerSpec { audiences: [url.clone()].into(), ..spec("acme", url.clone()) };
        foreign.declare(&id, own).await;
        foreign.expect_unavailable(&pair.sign(&claims(&url)), status.as_str()).await;
        let id = IssuerId::parse(&id).unwrap();
        foreign.tenancy.remove_issuer(&foreign.admin, &id, 1).await.unwrap();
    }
    assert_eq!(bait.taken(), 0, "a private address was dialled");
}

#[tokio::test]
async fn urls_that_are_no_issuers_are_not_declared() {
    let foreign = Foreign::new().await;
    for url in [
        "http://login.example",
        "file:///etc/passwd",
        "https://login.example?x=1",
        "https://login.example#x",
        "https://user:password@login.example",
        "https://login.example/\r\nX: y",
        "gopher://login.example",
    ] {
        let new = NewIssuer::new(
            IssuerId::parse("bad").unwrap(),
            IssuerSpec { private_addresses: false, ..spec("acme", url.to_owned()) },
        );
        let refused = foreign.tenancy.put_issuer(&foreign.admin, new).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{url:?}");
    }
}

/// Nobody can say: neither yes nor no, and not the platform's own fault.
#[tokio::test]
async fn an_issuer_that_lies_or_fails_is_not_believed() {
    let (foreign, pair) = (Foreign::new().await, Pair::es256("k1"));
    let ok = |body: Vec<u8>| Answer(StatusCode::OK, Vec::new(), body);
    let many = json!({ "keys": vec![&pair.public; 65] }).to_string().into_bytes();
    for (n, (path, answer)) in [
        ("/jwks", Answer(StatusCode::INTERNAL_SERVER_ERROR, Vec::new(), Vec::new())),
        ("/jwks", Answer(StatusCode::NOT_FOUND, Vec::new(), Vec::new())),
        ("/jwks", ok(b"<html>".to_vec())),
        ("/jwks", ok(b"{\"keys\":7}".to_vec())),
        ("/jwks", ok(vec![b' '; 300 * 1024])),
        ("/jwks", ok(many)),
        ("/.well-known/openid-configuration", ok(b"[]".to_vec())),
        ("/.well-known/openid-configuration", Answer::json(&json!({ "issuer": "https://other.example" }))),
        ("/.well-known/openid-configuration", Answer(StatusCode::BAD_GATEWAY, Vec::new(), Vec::new())),
    ]
    .into_iter()
    .enumerate()
    {
        let server = Server::start().await;
        server.publish(&[&pair]);
        server.set(path, answer);
        foreign.declare(&format!("i{n}"), spec("acme", server.url())).await;
        let token = pair.sign(&claims(&server.url()));
        foreign.expect_unavailable(&token, &format!("case {n}")).await;
        let health = foreign.issuers.directory().health();
        let health = health.iter().find(|health| health.url == server.url()).unwrap();
        assert!(health.problem.is_some(), "case {n}: {health:?}");
        // A token that cannot be this issuer's is refused all the same, and the platform's own are good.
        foreign.expect_unauthenticated(&token[..token.len() - 90], "a truncated token").await;
        foreign.expect(&foreign.token("acme").await, "user-1 of acme").await;
        assert!(foreign.issuers.directory().is_ready());
    }
}

/// The metadata of RFC 8414 serves where there is none of OpenID Connect.
#[tokio::test]
async fn an_issuer_with_a_path_is_found_where_rfc_8414_says() {
    let (foreign, pair, server) = (Foreign::new().await, Pair::ed25519("k1"), Server::start().await);
    let url = format!("{}/realms/a", server.url());
    let metadata = json!({ "issuer": url, "jwks_uri": format!("{}/keys", server.url()) });
    server.set("/.well-known/oauth-authorization-server/realms/a", Answer::json(&metadata));
    server.set("/keys", Answer::json(&json!({ "keys": [pair.public] })));
    foreign.declare("realm", spec("acme", url.clone())).await;
    foreign.expect(&pair.sign(&claims(&url)), "realm:ada of acme").await;
}
