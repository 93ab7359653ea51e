//! A platform in this process, and callers that send it requests without a socket.

use std::{
    sync::{Arc, Mutex, OnceLock},
    time::{Duration, Instant},
};

use axum::{Router, body::Body};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use mcp_core::{
    PlatformScope, Scope,
    key::Secret,
    scope::{Permissions, Principal, PrincipalId, PrincipalKind, TenantId},
    telemetry::Metrics,
};
use mcp_fixture::FixtureArgs;
use mcp_platform::{
    Administration, Platform, app,
    config::{Backend, Config, Isolation},
};
use mcp_tenancy::{key::NewApiKey, tenant::NewTenant};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::observed::Bucket;

/// Longest an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What lies between callers and the platform: nothing, or a part that is broken on purpose.
pub(crate) type Wrap = fn(Router) -> Router;

/// One platform with the fixture behind it.
pub(crate) struct World {
    pub(crate) platform: Arc<Platform>,
    router: Router,
    fixture: CancellationToken,
    _directory: tempfile::TempDir,
}

/// Where a platform keeps its state.
pub(crate) enum Store {
    /// A file for each tenant.
    Sqlite,
    /// One file for all.
    SqliteRow,
    /// Shared tables under row-level security: app, owner and relay.
    Postgres([Secret<String>; 3]),
}

impl World {
    pub(crate) async fn open(store: &Store, wrap: Wrap) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let fixture = CancellationToken::new();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let (upstream, ended) =
            (mcp_fixture::router(&FixtureArgs::default(), fixture.clone()), fixture.clone());
        tokio::spawn(async move {
            axum::serve(listener, upstream).with_graceful_shutdown(ended.cancelled_owned()).await
        });

        let mut config = Config::default();
        config.data.dir = directory.path().join("data");
        config.fleet.file = directory.path().join("mcp.json");
        let servers = json!({ "mcpServers": { "fixture": { "type": "http", "url": url } } });
        std::fs::write(&config.fleet.file, servers.to_string()).unwrap();
        if let Store::SqliteRow = store {
            config.database.isolation = Isolation::Row;
        }
        if let Store::Postgres([app, owner, relay]) = store {
            let database = &mut config.database;
            database.backend = Backend::Postgres;
            database.isolation = Isolation::Row;
            (database.url, database.owner_url) = (app.expose().clone(), owner.expose().clone());
            database.relay_url = relay.expose().clone();
            Administration::migrate(&config, &operator()).await.unwrap();
        }
        let platform = Arc::new(Platform::start(config, metrics()).await.unwrap());
        let router = wrap(app(&platform).unwrap());
        Self { platform, router, fixture, _directory: directory }
    }

    /// A new tenant that may send this many requests a minute, and a caller that may do everything for it.
    pub(crate) async fn tenant(&self, id: &str, requests_per_minute: u32) -> Caller {
        let tenancy = self.platform.tenancy();
        let mut new = NewTenant::new(TenantId::parse(id).unwrap(), id);
        new.profile.limits.requests_per_minute = requests_per_minute.try_into().unwrap();
        let tenant = tenancy.create_tenant(&operator(), new).await.unwrap();
        // The same principal everywhere: what tells tenants apart must not be whom they call themselves.
        let permissions = Permissions::parse(["*"]).unwrap();
        let key = NewApiKey::service(tenant.id, "all", "robot", permissions).unwrap();
        let issued = tenancy.create_key(&operator(), key).await.unwrap();
        Caller {
            tenant: id.to_owned(),
            credential: issued.text.expose().clone(),
            router: self.router.clone(),
            bucket: Mutex::new(Bucket::new(requests_per_minute)),
        }
    }

    /// The scope of the tenant's principal, for looks that must not count as requests of its.
    pub(crate) fn scope(&self, tenant: &str) -> Scope {
        let principal = Principal {
            id: PrincipalId::parse("robot").unwrap(),
            kind: PrincipalKind::Service,
            permissions: Permissions::parse(["*"]).unwrap(),
        };
        Scope::new(TenantId::parse(tenant).unwrap(), Arc::new(principal))
    }

    /// The Prometheus text, as operators read it.
    pub(crate) fn metrics(&self) -> String {
        self.platform.metrics_text()
    }

    pub(crate) async fn close(self) {
        self.platform.drain().await;
        self.platform.close().await;
        self.fixture.cancel();
    }
}

fn operator() -> PlatformScope {
    PlatformScope::new(PrincipalId::parse("operator").unwrap(), "a test")
}

/// The recorder of this process: there can be no second.
fn metrics() -> Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS.get_or_init(|| Metrics::install().unwrap()).clone()
}

/// Whoever calls for one tenant.
pub(crate) struct Caller {
    pub(crate) tenant: String,
    credential: String,
    router: Router,
    /// What its limit must say, as far as it is the only one who uses it.
    pub(crate) bucket: Mutex<Bucket>,
}

/// A request in the making.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    method: Method,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: String,
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Whether its `RateLimit` headers are what the caller's own requests come to.
    pub(crate) limit: Result<(), String>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{} is not JSON", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Call {
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), headers: Vec::new(), body: String::new() }
    }

    pub(crate) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    pub(crate) fn post(path: impl Into<String>, body: &Value) -> Self {
        Self::new(Method::POST, path).body(body.to_string())
    }

    /// A stateless MCP request.
    pub(crate) fn mcp(method: &str, mut params: Value) -> Self {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "0" },
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let name = params["name"].as_str().map(str::to_owned);
        let message = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let call = Self::post("/mcp", &message)
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", method);
        match name {
            Some(name) => call.header("mcp-name", &name),
            None => call,
        }
    }

    /// An MCP request of a session, or the one that opens it.
    pub(crate) fn session(session: Option<&str>, method: &str, params: &Value) -> Self {
        let message = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let call = Self::post("/mcp", &message);
        match session {
            Some(id) => call.header("mcp-session-id", id).header("mcp-protocol-version", "2025-11-25"),
            None => call,
        }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<String>) -> Self {
        self.body = body.into();
        self
    }
}

impl Caller {
    pub(crate) async fn send(&self, call: Call) -> Answer {
        self.send_as(&self.credential, call).await
    }

    /// Gives the tenant a role, which its principal has, and a policy, which decides from now on. Returns the last
    /// answer.
    pub(crate) async fn govern(&self, role: &str, policy: &str) -> Answer {
        let role = format!("/api/v1/roles/{role}");
        let definition = json!({ "description": "May edit", "permissions": ["contexts:*"] });
        self.send(Call::new(Method::PUT, role.clone()).body(definition.to_string())).await;
        let held = role.replace("/roles/", "/principals/robot/roles/");
        self.send(Call::new(Method::PUT, held)).await;
        let draft = json!({ "language": "cedar", "text": policy });
        let made = self.send(Call::post("/api/v1/policies", &draft)).await;
        let version = match made.status {
            StatusCode::CREATED => made.json()["version"].as_i64().unwrap(),
            _ => return made,
        };
        self.send(Call::post(format!("/api/v1/policies/{version}/validate"), &json!({}))).await;
        let active = self.send(Call::get("/api/v1/policies/active")).await;
        let expected = match active.status {
            StatusCode::OK => active.json()["version"].clone(),
            _ => return active,
        };
        let activation = json!({ "version": version, "expected": expected });
        self.send(Call::new(Method::PUT, "/api/v1/policies/active").body(activation.to_string())).await
    }

    /// Sends it with another credential.
    pub(crate) async fn send_as(&self, credential: &str, call: Call) -> Answer {
        let mut request = Request::builder()
            .method(call.method)
            .uri(&call.path)
            .header("host", "localhost")
            .header("authorization", format!("Bearer {credential}"))
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            // The same in every request, so that answers can be compared byte for byte.
            .header("x-request-id", "attempt");
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        let request = request.body(Body::from(call.body)).unwrap();
        let began = Instant::now();
        let answered = tokio::time::timeout(PATIENCE, async {
            let (head, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
            let answered = Instant::now();
            (head, body.collect().await.unwrap().to_bytes(), answered)
        });
        let (head, body, answered) = answered.await.expect("no answer within a minute");
        let limit = match head.headers.get("ratelimit-remaining") {
            Some(remaining) if head.status != StatusCode::TOO_MANY_REQUESTS => {
                let remaining = remaining.to_str().unwrap().parse().unwrap();
                self.bucket.lock().unwrap().take(began, answered, remaining)
            }
            _ => Ok(()),
        };
        Answer { status: head.status, headers: head.headers, body, limit }
    }
}
