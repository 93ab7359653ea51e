//! A real identity provider, npm `oidc-provider`: its tokens, its key rotation, its introspection and revocation.
//!
//! It needs Node and the package: `cargo xtask test` installs both and sets `MCP_TEST_TOOLS`. Without it these fail.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests are not test functions"
)]

use std::{path::PathBuf, process::Stdio, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Request, StatusCode, header};
use mcp_core::{
    Error, ErrorKind, PlatformScope,
    clock::{Clock, ManualClock, SystemClock},
    conformance::eventually,
    key::Secret,
    net::{Addresses, HttpClient, HttpConfig},
    scope::{PrincipalId, PrincipalKind, TenantId},
};
use mcp_tenancy::{
    Tenancy, TenancyDeps,
    auth::{Authenticators, Identity},
    foreign::ForeignConfig,
    issuer::{IssuerId, IssuerSpec, NewIssuer, TokenCheck},
    revocation::MemoryRevocationStore,
    tenant::NewTenant,
    token::TokenConfig,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

/// Tokens of these resources are signed as the last part of their names says.
const RESOURCE: &str = "https://platform.example/mcp";

/// The provider, in a process of its own that ends with this value.
struct Provider {
    issuer: String,
    secret: String,
    client: HttpClient,
    _process: Child,
}

#[derive(Deserialize)]
struct Started {
    issuer: String,
    secret: String,
}

impl Provider {
    async fn start() -> Self {
        let tools = std::env::var_os("MCP_TEST_TOOLS")
            .map(PathBuf::from)
            .expect("MCP_TEST_TOOLS is not set: `cargo xtask test` installs the provider and sets it");
        let (tools, data) =
            (tools.join("oidc"), PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data"));
        let mut process = Command::new(tools.join("node_modules/node/bin/node"))
            .arg(data.join("oidc/provider.mjs"))
            .arg(&tools)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start Node in {}: {error}", tools.display()));
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(Duration::from_secs(60), lines.next_line()).await;
        let line = line.expect("the provider does not start").unwrap().expect("the provider ended");
        let Started { issuer, secret } = serde_json::from_str(&line).unwrap();
        let client = HttpClient::new(HttpConfig { addresses: Addresses::Any, ..HttpConfig::default() });
        Self { issuer, secret, client: client.unwrap(), _process: process }
    }

    async fn post(&self, path: &str, client_id: Option<&str>, body: String) -> (StatusCode, Bytes) {
        let mut request = Request::post(format!("{}{path}", self.issuer))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(id) = client_id {
            let secret = self.secret.replace(' ', "+").replace(':', "%3A").replace('&', "%26");
            let credentials = STANDARD.encode(format!("{id}:{secret}"));
            request = request.header(header::AUTHORIZATION, format!("Basic {credentials}"));
        }
        let response = self.client.send(request.body(Bytes::from(body)).unwrap()).await.unwrap();
        (response.status(), response.into_body())
    }

    /// A token by client credentials, for the resource that ends with `kind`.
    async fn token(&self, client_id: &str, kind: &str) -> String {
        let form = format!("grant_type=client_credentials&scope=tools:call&resource={RESOURCE}/{kind}");
        let (status, body) = self.post("/token", Some(client_id), form).await;
        assert_eq!(status, StatusCode::OK, "{body:?}");
        let answer: Value = serde_json::from_slice(&body).unwrap();
        answer["access_token"].as_str().unwrap().to_owned()
    }

    async fn revoke(&self, client_id: &str, token: &str) {
        let (status, body) = self.post("/token/revocation", Some(client_id), format!("token={token}")).await;
        assert_eq!(status, StatusCode::OK, "{body:?}");
    }

    async fn sign_with(&self, keys: &[&str]) {
        let (status, _) = self.post("/control", None, json!({ "keys": keys }).to_string()).await;
        assert_eq!(status, StatusCode::OK);
    }
}

/// A platform that trusts the provider, and whose clock the test moves.
struct Platform {
    tenancy: Tenancy,
    authenticators: Authenticators,
    clock: ManualClock,
    admin: PlatformScope,
}

impl Platform {
    async fn new(id: &str, spec: IssuerSpec, secret: Option<&str>) -> Self {
        // The provider goes by the machine's clock. Ahead of it, this one stays within the leeway for longer.
        let clock = ManualClock::new(SystemClock.now().after(Duration::from_secs(20)));
        let deps = TenancyDeps {
            clock: Arc::new(clock.clone()),
            revocations: Arc::new(MemoryRevocationStore::new(Arc::new(clock.clone()))),
            ..TenancyDeps::memory(TokenConfig::new("https://platform.example", RESOURCE)).unwrap()
        };
        let tenancy = Tenancy::open(deps).await.unwrap();
        let admin = PlatformScope::new(PrincipalId::parse("operator").unwrap(), "a test");
        for id in ["acme", "beta"] {
            let new = NewTenant::new(TenantId::parse(id).unwrap(), id);
            tenancy.create_tenant(&admin, new).await.unwrap();
        }
        let secret = secret.map(|secret| Secret::new(secret.to_owned()));
        let new = NewIssuer { secret, ..NewIssuer::new(IssuerId::parse(id).unwrap(), spec) };
        tenancy.put_issuer(&admin, new).await.unwrap();
        let issuers = tenancy.follow_issuers(ForeignConfig::default()).await.unwrap();
        let authenticators = tenancy.authenticators().and(issuers.authenticators());
        Self { tenancy, authenticators, clock, admin }
    }

    async fn authenticate(&self, token: &str) -> Result<Identity, Error> {
        let request = Request::builder().header(header::AUTHORIZATION, format!("Bearer {token}"));
        let (head, ()) = request.body(()).unwrap().into_parts();
        self.authenticators.authenticate(&head).await
    }

    async fn is_refused(&self, token: &str) -> bool {
        match self.authenticate(token).await {
            Ok(_) => false,
            Err(error) if error.kind() == ErrorKind::Unauthenticated => true,
            Err(error) => panic!("{}", error.report()),
        }
    }
}

fn shared(provider: &Provider, kinds: &[&str]) -> IssuerSpec {
    let mut spec = IssuerSpec::shared(&provider.issuer, RESOURCE, "tenant");
    spec.audiences = kinds.iter().map(|kind| format!("{RESOURCE}/{kind}")).collect();
    spec.private_addresses = true;
    spec
}

#[tokio::test]
async fn its_tokens_are_accepted_in_every_algorithm_for_the_tenant_they_name() {
    let provider = Provider::start().await;
    let platform = Platform::new("idp", shared(&provider, &["RS256", "ES256", "EdDSA"]), None).await;
    for kind in ["RS256", "ES256", "EdDSA"] {
        for (client, tenant) in [("robot", "acme"), ("other", "beta")] {
            let identity = platform.authenticate(&provider.token(client, kind).await).await.unwrap();
            assert_eq!(
                (identity.tenant.as_str(), identity.principal.id.as_str()),
                (tenant, &*format!("idp:{client}"))
            );
            assert_eq!(identity.principal.kind, PrincipalKind::Service);
            assert!(identity.principal.permissions.allows("tools:call"));
            assert!(!identity.principal.permissions.allows("contexts:read"));
        }
    }
    let elsewhere = provider.token("robot", "other/ES256").await;
    assert!(platform.is_refused(&elsewhere).await, "a resource that was not declared");
    let token = provider.token("robot", "ES256").await;
    assert!(platform.is_refused(&token[..token.len() - 2]).await);
    platform.tenancy.end_tokens(&platform.admin, &TenantId::parse("acme").unwrap()).await.unwrap();
    assert!(platform.is_refused(&token).await, "the epoch does not reach the provider's tokens");
    platform.tenancy.shutdown().await;
}

#[tokio::test]
async fn its_key_rotation_is_followed_and_a_removed_key_refused_within_the_bound() {
    let provider = Provider::start().await;
    let platform = Platform::new("idp", shared(&provider, &["ES256"]), None).await;
    let before = provider.token("robot", "ES256").await;
    platform.authenticate(&before).await.unwrap();

    // The new key signs, the old one is still published.
    provider.sign_with(&["es-2", "es-1", "rs-1"]).await;
    platform.clock.advance(Duration::from_secs(10));
    let after = provider.token("robot", "ES256").await;
    platform.authenticate(&after).await.unwrap();
    platform.authenticate(&before).await.unwrap();

    // The old key is gone: its tokens live until the keys are read again, five minutes later at most.
    provider.sign_with(&["es-2", "rs-1"]).await;
    platform.authenticate(&before).await.unwrap();
    platform.clock.advance(Duration::from_secs(301));
    eventually("a token whose key was removed is still good", || async {
        Ok(platform.is_refused(&before).await)
    })
    .await
    .unwrap_or_else(|failure| panic!("{failure}"));
    platform.authenticate(&after).await.unwrap();
    platform.tenancy.shutdown().await;
}

#[tokio::test]
async fn its_opaque_tokens_are_asked_about_and_refused_after_revocation_within_the_bound() {
    let provider = Provider::start().await;
    let mut spec = shared(&provider, &["opaque"]);
    spec.check = TokenCheck::introspection("platform");
    // Of a client that acts for itself, the provider says no subject.
    spec.claims.subject = "client_id".to_owned();
    let platform = Platform::new("idp", spec, Some(&provider.secret)).await;
    let (token, other) = (provider.token("robot", "opaque").await, provider.token("other", "opaque").await);
    let identity = platform.authenticate(&token).await.unwrap();
    assert_eq!((identity.tenant.as_str(), identity.principal.id.as_str()), ("acme", "idp:robot"));
    assert!(identity.principal.permissions.allows("tools:call"));
    assert_eq!(platform.authenticate(&other).await.unwrap().tenant.as_str(), "beta");
    assert!(platform.is_refused("no-token-of-anybody").await);

    provider.revoke("robot", &token).await;
    platform.authenticate(&token).await.expect("the provider's word holds for half a minute");
    platform.clock.advance(Duration::from_secs(30));
    assert!(platform.is_refused(&token).await, "revoked, and the bound has passed");
    platform.authenticate(&other).await.unwrap();
    platform.tenancy.shutdown().await;
}
