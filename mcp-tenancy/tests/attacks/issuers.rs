//! Foreign issuers that the tests own: real servers on loopback, with keys to sign and to spoil.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http_body_util::BodyExt as _;
use jsonwebtoken::{Algorithm, EncodingKey, jwk::Jwk};
use mcp_core::conformance::eventually;
use mcp_tenancy::{
    foreign::{ForeignConfig, ForeignIssuers},
    issuer::{IssuerId, IssuerSpec, NewIssuer, TokenCheck},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::{AUDIENCE, NOW, World, assert_unauthenticated, sign, tenant};

const RSA: &[u8] = include_bytes!("../data/issuer-rsa.pem");
const RSA_2: &[u8] = include_bytes!("../data/issuer-rsa-2.pem");

/// A key pair of an issuer.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) private: EncodingKey,
    pub(crate) algorithm: Algorithm,
    pub(crate) public: Value,
}

impl Pair {
    fn new(private: EncodingKey, algorithm: Algorithm, kid: &str) -> Self {
        let mut public = serde_json::to_value(Jwk::from_encoding_key(&private, algorithm).unwrap()).unwrap();
        public["kid"] = kid.into();
        Self { private, algorithm, public }
    }

    pub(crate) fn rsa(kid: &str) -> Self {
        Self::new(EncodingKey::from_rsa_pem(RSA).unwrap(), Algorithm::RS256, kid)
    }

    pub(crate) fn pss(kid: &str) -> Self {
        Self::new(EncodingKey::from_rsa_pem(RSA_2).unwrap(), Algorithm::PS256, kid)
    }

    pub(crate) fn es256(kid: &str) -> Self {
        let algorithm = &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING;
        let random = aws_lc_rs::rand::SystemRandom::new();
        let pkcs8 = aws_lc_rs::signature::EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        Self::new(EncodingKey::from_ec_der(pkcs8.as_ref()), Algorithm::ES256, kid)
    }

    pub(crate) fn ed25519(kid: &str) -> Self {
        use aws_lc_rs::signature::KeyPair as _;
        let pair = aws_lc_rs::signature::Ed25519KeyPair::generate().unwrap();
        let x = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        let public = json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid, "use": "sig" });
        let private = EncodingKey::from_ed_der(pair.to_pkcs8().unwrap().as_ref());
        Self { private, algorithm: Algorithm::EdDSA, public }
    }

    pub(crate) fn kid(&self) -> &str {
        self.public["kid"].as_str().unwrap()
    }

    pub(crate) fn header(&self) -> Value {
        json!({ "alg": format!("{:?}", self.algorithm), "typ": "at+jwt", "kid": self.kid() })
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        sign(&self.header(), claims, &self.private, self.algorithm)
    }
}

/// What a server answers at a path.
#[derive(Clone)]
pub(crate) struct Answer(pub(crate) StatusCode, pub(crate) Vec<(&'static str, String)>, pub(crate) Vec<u8>);

impl Answer {
    pub(crate) fn json(value: &Value) -> Self {
        Self(
            StatusCode::OK,
            vec![("content-type", "application/json".to_owned())],
            value.to_string().into_bytes(),
        )
    }
}

#[derive(Default)]
struct Shared {
    answers: HashMap<String, Answer>,
    seen: Vec<(String, String, String)>,
}

/// A server that answers what it is told to, and remembers what it was asked.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) at: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self { at: listener.local_addr().unwrap(), shared: Arc::default() };
        let app = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.at)
    }

    pub(crate) fn set(&self, path: &str, answer: Answer) {
        self.shared.lock().unwrap().answers.insert(path.to_owned(), answer);
    }

    /// Publishes metadata and these keys.
    pub(crate) fn publish(&self, keys: &[&Pair]) {
        let (url, keys): (_, Vec<_>) = (self.url(), keys.iter().map(|pair| &pair.public).collect());
        let metadata = json!({
            "issuer": url, "jwks_uri": format!("{url}/jwks"),
            "introspection_endpoint": format!("{url}/introspect"),
        });
        self.set("/.well-known/openid-configuration", Answer::json(&metadata));
        self.set("/jwks", Answer::json(&json!({ "keys": keys })));
    }

    /// Answers 500 from now on.
    pub(crate) fn fail(&self) {
        for answer in self.shared.lock().unwrap().answers.values_mut() {
            *answer = Answer(StatusCode::INTERNAL_SERVER_ERROR, Vec::new(), Vec::new());
        }
    }

    /// The bodies of the requests for `path` so far.
    pub(crate) fn asked(&self, path: &str) -> Vec<String> {
        let shared = self.shared.lock().unwrap();
        shared.seen.iter().filter(|(at, ..)| at == path).map(|(.., body)| body.clone()).collect()
    }

    /// The `Authorization` of the last request.
    pub(crate) fn last_authorization(&self) -> String {
        self.shared.lock().unwrap().seen.last().unwrap().1.clone()
    }

    pub(crate) fn requests(&self) -> usize {
        self.shared.lock().unwrap().seen.len()
    }
}

async fn answer(State(server): State<Server>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let authorization = request.headers().get(header::AUTHORIZATION);
    let authorization = authorization.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let mut shared = server.shared.lock().unwrap();
    shared.seen.push((path.clone(), authorization, body));
    let Some(Answer(status, headers, body)) = shared.answers.get(&path).cloned() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let mut response = (status, Bytes::from(body)).into_response();
    for (name, value) in headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

/// A platform that follows issuers.
pub(crate) struct Foreign {
    pub(crate) world: World,
    pub(crate) issuers: ForeignIssuers,
}

impl std::ops::Deref for Foreign {
    type Target = World;
    fn deref(&self) -> &World {
        &self.world
    }
}

/// The issuer of `tenant` (`-`: a shared one, whose claim `tenant` names it) at `url`.
pub(crate) fn spec(tenant_id: &str, url: String) -> IssuerSpec {
    let spec = match tenant_id {
        "-" => IssuerSpec::shared(url, AUDIENCE, "tenant"),
        tenant_id => IssuerSpec::of_tenant(tenant(tenant_id), url, AUDIENCE),
    };
    IssuerSpec { private_addresses: true, ..spec }
}

impl Foreign {
    pub(crate) async fn new() -> Self {
        let mut world = World::new().await;
        let issuers = world.tenancy.follow_issuers(ForeignConfig::default()).await.unwrap();
        world.authenticators = world.tenancy.authenticators().and(issuers.authenticators());
        Self { world, issuers }
    }

    pub(crate) async fn declare(&self, id: &str, spec: IssuerSpec) {
        let secret = matches!(spec.check, TokenCheck::Introspection { .. })
            .then(|| mcp_core::key::Secret::new("s: &%".to_owned()));
        let new = NewIssuer { secret, ..NewIssuer::new(IssuerId::parse(id).unwrap(), spec) };
        self.tenancy.put_issuer(&self.admin, new).await.unwrap();
    }

    /// A server whose keys are published, declared as the issuer `id` of `tenant`.
    pub(crate) async fn with_issuer(&self, id: &str, tenant_id: &str, keys: &[&Pair]) -> Server {
        let server = Server::start().await;
        server.publish(keys);
        self.declare(id, spec(tenant_id, server.url())).await;
        server
    }

    pub(crate) async fn expect(&self, token: &str, body: &str) {
        let response = self.send_bearer(token).await;
        assert_eq!((response.status(), response.body().as_ref()), (StatusCode::OK, body.as_bytes()));
    }

    /// Expects the answer that nobody can say.
    pub(crate) async fn expect_unavailable(&self, token: &str, what: &str) {
        let response = self.send_bearer(token).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE, "{what}");
    }

    /// Awaits that a token that was good is refused.
    pub(crate) async fn refused_soon(&self, token: &str, what: &str) {
        let refused = || async { Ok(self.send_bearer(token).await.status() == StatusCode::UNAUTHORIZED) };
        eventually(what, refused).await.unwrap();
        assert_unauthenticated(&self.send_bearer(token).await, what);
    }
}

/// The claims of a good token of the issuer at `url` for the user `ada`.
pub(crate) fn claims(url: &str) -> Value {
    json!({
        "iss": url, "aud": AUDIENCE, "sub": "ada", "scope": "tools:call openid", "tenant": "acme",
        "iat": NOW, "nbf": NOW, "exp": NOW + 3600, "jti": "f-1",
    })
}
