//! A platform in memory, its whole stack of layers, and a forger who has every key.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use mcp_core::{
    Error, PlatformScope, Scope,
    audit::{AuditRecord, Chain, DenialLog},
    clock::{Clock as _, ManualClock, Timestamp},
    key::{Column, Sealed},
    layer::RescueLayer,
    scope::{Permissions, Principal, PrincipalId, PrincipalKind, RequestId, TenantId},
};
use mcp_tenancy::{
    Tenancy, TenancyDeps,
    auth::Authenticators,
    key::NewApiKey,
    layer::{AuthenticateLayer, RateLimitLayer, TenantLayer},
    limit::GcraLimiter,
    revocation::MemoryRevocationStore,
    tenant::NewTenant,
    token::{
        MIN_LEAD, MemorySigningKeyStore, Rotation, SigningAlgorithm, SigningKey, SigningKeyStore as _,
        TokenConfig,
    },
};
use serde_json::{Value, json};
use tower::{Service as _, ServiceBuilder, ServiceExt as _, service_fn};

pub(crate) const ISSUER: &str = "https://platform.example";
pub(crate) const AUDIENCE: &str = "https://platform.example/mcp";
/// As the platform seals private keys; whoever renames it loses them.
pub(crate) const PRIVATE_KEY: Column = Column::new("signing_key", "private_key");
pub(crate) const NOW: i64 = 1_800_000_000;

/// Keeps denials for a test to look at.
#[derive(Debug, Default)]
pub(crate) struct Denials(Mutex<Vec<(Chain, AuditRecord)>>);

impl DenialLog for Denials {
    fn denied(&self, chain: Chain, record: AuditRecord) {
        self.0.lock().unwrap().push((chain, record));
    }
}

impl Denials {
    /// The denials since the last call.
    pub(crate) fn take(&self) -> Vec<(Chain, AuditRecord)> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

pub(crate) struct World {
    pub(crate) deps: TenancyDeps,
    pub(crate) tenancy: Tenancy,
    pub(crate) authenticators: Authenticators,
    pub(crate) admin: PlatformScope,
    pub(crate) clock: ManualClock,
    pub(crate) denials: Arc<Denials>,
    pub(crate) signing_keys: MemorySigningKeyStore,
    pub(crate) limiter: Arc<GcraLimiter>,
}

pub(crate) fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).unwrap()
}

pub(crate) fn principal(id: &str) -> Principal {
    Principal {
        id: PrincipalId::parse(id).unwrap(),
        kind: PrincipalKind::User,
        permissions: Permissions::parse(["tools:call"]).unwrap(),
    }
}

impl World {
    /// A platform with the tenants `acme` and `beta`.
    pub(crate) async fn new() -> Self {
        Self::with(|_| ()).await
    }

    /// The same, with something changed in what it stands on.
    pub(crate) async fn with(change: impl FnOnce(&mut TenancyDeps)) -> Self {
        let clock = ManualClock::new(Timestamp::from_micros(NOW * 1_000_000));
        let signing_keys = MemorySigningKeyStore::default();
        let mut deps = TenancyDeps {
            signing_keys: Arc::new(signing_keys.clone()),
            clock: Arc::new(clock.clone()),
            revocations: Arc::new(MemoryRevocationStore::new(Arc::new(clock.clone()))),
            ..TenancyDeps::memory(TokenConfig::new(ISSUER, AUDIENCE)).unwrap()
        };
        change(&mut deps);
        let tenancy = Tenancy::open(deps.clone()).await.unwrap();
        let admin = PlatformScope::new(PrincipalId::parse("operator").unwrap(), "test");
        for id in ["acme", "beta"] {
            tenancy.create_tenant(&admin, NewTenant::new(tenant(id), id.to_uppercase())).await.unwrap();
        }
        let (denials, limiter) = (Arc::default(), Arc::default());
        let authenticators = tenancy.authenticators();
        Self { deps, tenancy, authenticators, admin, clock, denials, signing_keys, limiter }
    }

    /// Another process on the same stores.
    pub(crate) async fn other_replica(&self) -> Tenancy {
        Tenancy::open(self.deps.clone()).await.unwrap()
    }

    pub(crate) async fn token(&self, tenant_id: &str) -> String {
        let (tenant, principal) = (tenant(tenant_id), principal("user-1"));
        let hour = Duration::from_secs(3600);
        let issued = self.tenancy.issue_token(&self.admin, &tenant, &principal, hour).await.unwrap();
        issued.token.expose().clone()
    }

    pub(crate) async fn api_key(&self, tenant_id: &str) -> mcp_tenancy::key::IssuedKey {
        let permissions = Permissions::parse(["tools:call"]).unwrap();
        let new = NewApiKey::service(tenant(tenant_id), "ci", "robot", permissions).unwrap();
        self.tenancy.create_key(&self.admin, new).await.unwrap()
    }

    /// Sends a request through all layers; the inside answers `principal of tenant`.
    pub(crate) async fn send(&self, headers: &[(&str, &str)]) -> Response<Bytes> {
        let inside = service_fn(async |request: Request<()>| {
            let scope = request.extensions().get::<Scope>().expect("the inside was reached without a scope");
            let text = format!("{} of {}", scope.principal().id, scope.tenant());
            Ok::<_, Error>(Response::new(Full::new(Bytes::from(text))))
        });
        let mut stack = ServiceBuilder::new()
            .layer(RescueLayer::default())
            .layer(AuthenticateLayer::new(self.authenticators.clone(), self.denials.clone()))
            .layer(TenantLayer::new(self.tenancy.directory().clone(), self.denials.clone()))
            .layer(RateLimitLayer::new(self.limiter.clone(), self.denials.clone()))
            .service(inside);
        let mut request = Request::builder().uri("/mcp");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(()).unwrap();
        request.extensions_mut().insert(RequestId::parse("request-1").unwrap());
        let response = stack.ready().await.unwrap().call(request).await.unwrap();
        let (head, body) = response.into_parts();
        Response::from_parts(head, body.collect().await.unwrap().to_bytes())
    }

    pub(crate) async fn send_bearer(&self, token: &str) -> Response<Bytes> {
        self.send(&[("authorization", &format!("Bearer {token}"))]).await
    }

    /// Expects the one 401 that tells nothing, and its record in the platform's chain.
    pub(crate) async fn expect_unauthenticated(&self, token: &str, what: &str) {
        self.denials.take();
        let response = self.send_bearer(token).await;
        assert_unauthenticated(&response, what);
        let denials = self.denials.take();
        assert_eq!(denials.len(), 1, "{what}");
        assert_eq!(denials[0].0, Chain::Platform, "{what}");
        assert_eq!((denials[0].1.actor.as_str(), &*denials[0].1.action), ("anonymous", "auth.denied"));
        let recorded = format!("{denials:?}");
        assert!(token.len() < 20 || !recorded.contains(token), "{what}: the token is in the record");
    }

    /// The tenant's signing key and what it takes to forge with it.
    pub(crate) async fn stolen_key(&self, tenant_id: &str) -> (SigningKey, EncodingKey) {
        self.token(tenant_id).await;
        let stored = self.signing_keys.keys(&self.admin, &tenant(tenant_id)).await.unwrap().remove(0);
        let service = Principal { kind: PrincipalKind::Service, ..principal("thief") };
        let scope = Scope::new(tenant(tenant_id), Arc::new(service));
        let sealed = Sealed::from_stored(stored.sealed.clone()).unwrap();
        let private = self.deps.data_keys.open(&scope, PRIVATE_KEY.row(&stored.kid), &sealed).await.unwrap();
        let key = encoding_key(stored.algorithm, private.expose());
        (stored, key)
    }

    /// Lets the tenant sign with another algorithm from now on.
    pub(crate) async fn rotate(&self, tenant_id: &str, algorithm: SigningAlgorithm) {
        let rotation = Rotation { algorithm, lead: MIN_LEAD };
        self.tenancy.rotate_signing_key(&self.admin, &tenant(tenant_id), rotation).await.unwrap();
        self.clock.advance(MIN_LEAD);
    }

    /// The header and claims of a good token of that tenant, to be spoiled.
    pub(crate) async fn honest(&self, tenant_id: &str) -> (Value, Value) {
        let (key, _) = self.stolen_key(tenant_id).await;
        let header = json!({ "alg": key.algorithm, "typ": "at+jwt", "kid": key.kid });
        let now = self.clock.now().as_secs();
        let claims = json!({
            "iss": format!("{ISSUER}/t/{tenant_id}"), "aud": [AUDIENCE], "sub": "user-1",
            "principal_kind": "user", "tenant_id": tenant_id, "permissions": ["tools:call"],
            "iat": now, "nbf": now, "exp": now + 3600, "jti": "token-1",
        });
        (header, claims)
    }
}

/// What a library signs with, of a PKCS #8 document.
fn encoding_key(algorithm: SigningAlgorithm, private: &[u8]) -> EncodingKey {
    match algorithm {
        SigningAlgorithm::EdDsa => EncodingKey::from_ed_der(private),
        SigningAlgorithm::Es256 => EncodingKey::from_ec_der(private),
        _ => {
            let pem = format!(
                "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----",
                STANDARD.encode(private)
            );
            EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap()
        }
    }
}

pub(crate) fn jwt(algorithm: SigningAlgorithm) -> Algorithm {
    algorithm.as_str().parse().unwrap()
}

/// What every refused credential gets, whatever was wrong with it.
pub(crate) fn assert_unauthenticated(response: &Response<Bytes>, what: &str) {
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{what}");
    assert_eq!(response.headers()["www-authenticate"], "Bearer", "{what}");
    let body: Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(body["detail"], "valid credentials are required", "{what}");
    let mut fields: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["code", "detail", "request_id", "status", "title", "type"], "{what}");
}

pub(crate) fn message(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

pub(crate) fn sign(header: &Value, claims: &Value, key: &EncodingKey, algorithm: Algorithm) -> String {
    let message = message(header, claims);
    let signature = crypto::sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}
