//! The routes that everybody may ask, through the rescue layer, as a client meets them.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not test functions")]

use std::sync::{Arc, Mutex};

use axum::body::Body;
use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use mcp_core::{
    PlatformScope,
    audit::{AuditRecord, Chain, DenialLog},
    layer::RescueLayer,
    scope::{Permission, Permissions, PrincipalId, TenantId},
};
use mcp_tenancy::{
    Tenancy, TenancyDeps,
    auth::ProtectedResource,
    http_api::{Deps, routes},
    key::{IssuedKey, NewApiKey},
    limit::GcraLimiter,
    tenant::NewTenant,
    token::TokenConfig,
};
use serde_json::{Value, json};
use tower::{Layer as _, ServiceExt as _};

const METADATA: &str = "https://platform.example/.well-known/oauth-protected-resource/mcp";

#[derive(Debug, Default)]
struct Denials(Mutex<Vec<(Chain, AuditRecord)>>);

impl DenialLog for Denials {
    fn denied(&self, chain: Chain, record: AuditRecord) {
        self.0.lock().unwrap().push((chain, record));
    }
}

struct Server {
    tenancy: Arc<Tenancy>,
    admin: PlatformScope,
    denials: Arc<Denials>,
    resource: ProtectedResource,
    limiter: Arc<GcraLimiter>,
}

impl Server {
    async fn new() -> Self {
        let tokens = TokenConfig::new("https://platform.example", "https://platform.example/mcp");
        let tenancy = Tenancy::open(TenancyDeps::memory(tokens).unwrap()).await.unwrap();
        let admin = PlatformScope::new(PrincipalId::parse("operator").unwrap(), "test");
        for id in ["acme", "beta"] {
            let new = NewTenant::new(TenantId::parse(id).unwrap(), id);
            tenancy.create_tenant(&admin, new).await.unwrap();
        }
        let resource = ProtectedResource::new("https://platform.example/mcp").unwrap();
        let resource = resource.with_authorization_servers(vec!["https://idp.example".to_owned()]).unwrap();
        let resource = resource.with_scopes([Permission::parse("tools:call").unwrap()]);
        Self { tenancy: Arc::new(tenancy), admin, denials: Arc::default(), resource, limiter: Arc::default() }
    }

    async fn key(&self, tenant: &str) -> IssuedKey {
        let permissions = Permissions::parse(["tools:call", "tools:list"]).unwrap();
        let new = NewApiKey::service(TenantId::parse(tenant).unwrap(), "ci", "robot", permissions).unwrap();
        self.tenancy.create_key(&self.admin, new).await.unwrap()
    }

    async fn send(&self, request: Request<Body>) -> (Response<()>, Value) {
        let deps = Deps {
            tenancy: self.tenancy.clone(),
            resource: self.resource.clone(),
            limiter: self.limiter.clone(),
            limits: Arc::default(),
            denials: self.denials.clone(),
        };
        let rescue = RescueLayer::new(self.resource.challenge().unwrap());
        let response = rescue.layer(routes(deps)).oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (Response::from_parts(head, ()), serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn get(&self, path: &str) -> (Response<()>, Value) {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    async fn grant(&self, headers: &[(&str, &str)], body: Value) -> (Response<()>, Value) {
        let mut request = Request::post("/api/v1/auth/token").header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }
}

#[tokio::test]
async fn a_tenants_keys_are_public_and_an_unknown_tenant_has_none() {
    let server = Server::new().await;
    let key = server.key("acme").await;
    server.grant(&[("x-api-key", key.text.expose())], json!({ "grant_type": "api_key" })).await;
    let (response, set) = server.get("/t/acme/.well-known/jwks.json").await;
    assert_eq!((response.status(), set["keys"].as_array().unwrap().len()), (StatusCode::OK, 1));
    assert_eq!(response.headers()[header::CACHE_CONTROL], "public, max-age=300");
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/jwk-set+json");
    assert_eq!((&set["keys"][0]["alg"], &set["keys"][0]["d"]), (&json!("EdDSA"), &Value::Null));
    let (nobody, none) = server.get("/t/no-such-tenant/.well-known/jwks.json").await;
    assert_eq!((nobody.status(), &none), (StatusCode::OK, &json!({ "keys": [] })));
    for tenant in ["beta", "NOT-an-id", "..%2Facme"] {
        let (response, body) = server.get(&format!("/t/{tenant}/.well-known/jwks.json")).await;
        assert_eq!((response.headers(), &body), (nobody.headers(), &none), "{tenant}");
    }
}

#[tokio::test]
async fn the_metadata_of_the_resource_is_where_the_challenge_says() {
    let server = Server::new().await;
    let (refused, _) = server.grant(&[], json!({ "grant_type": "api_key" })).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let challenge = refused.headers()[header::WWW_AUTHENTICATE].to_str().unwrap();
    assert_eq!(challenge, format!("Bearer resource_metadata=\"{METADATA}\", scope=\"tools:call\""));
    for path in ["", "/mcp", "/mcp/everything"] {
        let (response, document) = server.get(&format!("/.well-known/oauth-protected-resource{path}")).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        assert_eq!(document["resource"], "https://platform.example/mcp");
        assert_eq!(document["authorization_servers"], json!(["https://idp.example"]));
    }
    let (missing, _) = server.get("/.well-known/oauth-protected-resource/other").await;
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn tokens_are_granted_for_a_key_and_then_for_each_other() {
    let server = Server::new().await;
    let key = server.key("acme").await;
    let bearer = format!("Bearer {}", key.text.expose());
    let wanted = json!({ "grant_type": "api_key", "permissions": ["tools:call"], "expires_in": 60 });
    let (response, granted) = server.grant(&[("authorization", &bearer)], wanted).await;
    assert_eq!(response.status(), StatusCode::OK, "{granted}");
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    assert_eq!(response.headers()["ratelimit-remaining"], "599");
    assert_eq!((&granted["expires_in"], &granted["permissions"]), (&json!(60), &json!(["tools:call"])));
    let redeem = |token: &Value| json!({ "grant_type": "refresh_token", "refresh_token": token });
    let (response, next) = server.grant(&[], redeem(&granted["refresh_token"])).await;
    assert_eq!((response.status(), &next["tenant_id"]), (StatusCode::OK, &json!("acme")), "{next}");
    assert_ne!(next["refresh_token"], granted["refresh_token"]);
    let (_, again) = server.grant(&[], redeem(&granted["refresh_token"])).await;
    assert_eq!(again["refresh_token"], next["refresh_token"], "a retry");
    server.grant(&[], redeem(&next["refresh_token"])).await;
    let (stolen, body) = server.grant(&[], redeem(&granted["refresh_token"])).await;
    assert_eq!(stolen.status(), StatusCode::UNAUTHORIZED);
    let challenge = stolen.headers()[header::WWW_AUTHENTICATE].to_str().unwrap();
    assert!(challenge.ends_with("error=\"invalid_token\""), "{challenge}");
    assert_eq!(body["detail"], "valid credentials are required");
    let denials = server.denials.0.lock().unwrap();
    assert_eq!((&denials[0].0, &*denials[0].1.action), (&Chain::Platform, "auth.denied"));
}

#[tokio::test]
async fn what_is_no_grant_is_refused() {
    let server = Server::new().await;
    let key = server.key("acme").await;
    let bearer = format!("Bearer {}", key.text.expose());
    let good = ("authorization", bearer.as_str());
    let (_, granted) = server.grant(&[good], json!({ "grant_type": "api_key" })).await;
    let token = &granted["refresh_token"];
    let access = format!("Bearer {}", granted["access_token"].as_str().unwrap());
    for (headers, body, status) in [
        (&[good][..], json!({}), StatusCode::BAD_REQUEST),
        (&[good], json!({ "grant_type": "password", "username": "u" }), StatusCode::BAD_REQUEST),
        (&[good], json!({ "grant_type": "api_key", "scope": "x" }), StatusCode::BAD_REQUEST),
        (&[good], json!({ "grant_type": "api_key", "expires_in": 0 }), StatusCode::BAD_REQUEST),
        (&[good], json!({ "grant_type": "api_key", "permissions": ["*"] }), StatusCode::FORBIDDEN),
        (&[good], json!({ "grant_type": "api_key", "permissions": ["A B"] }), StatusCode::BAD_REQUEST),
        (&[good, ("x-tenant-id", "beta")], json!({ "grant_type": "api_key" }), StatusCode::FORBIDDEN),
        (&[good, ("x_tenant_id", "acme")], json!({ "grant_type": "api_key" }), StatusCode::FORBIDDEN),
        (&[("authorization", &access)], json!({ "grant_type": "api_key" }), StatusCode::FORBIDDEN),
        (&[], json!({ "grant_type": "refresh_token" }), StatusCode::BAD_REQUEST),
        (&[], json!({ "grant_type": "refresh_token", "refresh_token": "x" }), StatusCode::UNAUTHORIZED),
        (&[good], json!({ "grant_type": "refresh_token", "refresh_token": token }), StatusCode::UNAUTHORIZED),
        (
            &[("x-tenant-id", "beta")],
            json!({ "grant_type": "refresh_token", "refresh_token": token }),
            StatusCode::FORBIDDEN,
        ),
    ] {
        let (response, answer) = server.grant(headers, body.clone()).await;
        assert_eq!(response.status(), status, "{body}: {answer}");
    }
    let huge = json!({ "grant_type": "refresh_token", "refresh_token": "x".repeat(64 * 1024) });
    assert_eq!(server.grant(&[], huge).await.0.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let (response, _) =
        server.grant(&[], json!({ "grant_type": "refresh_token", "refresh_token": token })).await;
    assert_eq!(response.status(), StatusCode::OK, "none of these redeemed it");
}

#[tokio::test]
async fn a_grant_is_a_request_of_its_tenant() {
    let server = Server::new().await;
    let (acme, admin) = (TenantId::parse("acme").unwrap(), &server.admin);
    let mut profile = server.tenancy.tenant(admin, &acme).await.unwrap().profile;
    profile.limits.requests_per_minute = std::num::NonZeroU32::MIN;
    server.tenancy.update_tenant(admin, &acme, profile, 1).await.unwrap();
    let key = server.key("acme").await;
    let headers = [("x-api-key", key.text.expose().as_str())];
    let (response, _) = server.grant(&headers, json!({ "grant_type": "api_key" })).await;
    assert_eq!(response.status(), StatusCode::OK);
    let (response, _) = server.grant(&headers, json!({ "grant_type": "api_key" })).await;
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    server.tenancy.suspend_tenant(admin, &acme).await.unwrap();
    let (response, _) = server.grant(&headers, json!({ "grant_type": "api_key" })).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
}
