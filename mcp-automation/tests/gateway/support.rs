//! Servers that run in this process, and clients of both eras.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use mcp_automation::{
    gateway::{Body, Gateway, GatewayConfig},
    protocol::{ProtocolVersion, ServerName},
    upstream::{Downstream, Notice, Reply, ServerInfo, Upstream, Upstreams},
};
use mcp_core::{
    Error, Result, Scope,
    audit::{AuditRecord, Chain, DenialLog},
    clock::{ManualClock, Timestamp},
    error::Detail,
    scope::{Permissions, Principal, PrincipalId, PrincipalKind, TenantId},
};
use serde_json::{Value, json, value::RawValue};
use tokio::sync::{Notify, broadcast};
use tower::ServiceExt;

/// A server that parses what it is asked and answers from its own data.
#[derive(Debug)]
pub(crate) struct TestServer {
    name: ServerName,
    info: ServerInfo,
    /// Named in every answer, so that a stray byte of another tenant's shows.
    pub(crate) secret: String,
    pub(crate) tools: Mutex<Vec<String>>,
    pub(crate) resources: Vec<String>,
    pub(crate) templates: Vec<String>,
    pub(crate) prompts: Vec<String>,
    /// Items a page.
    pub(crate) page: usize,
    pub(crate) notices: broadcast::Sender<Notice>,
    /// Methods and parameters as they came.
    pub(crate) seen: Mutex<Vec<(String, Option<String>)>>,
    /// Raised for each call that was dropped before its answer.
    pub(crate) cancelled: Notify,
    /// Raised when the tool `wait` has begun.
    pub(crate) begun: Notify,
    /// Lets the tool `wait` answer.
    pub(crate) release: Notify,
    pub(crate) hangs: AtomicBool,
    pub(crate) in_flight: AtomicUsize,
}

impl TestServer {
    pub(crate) fn new(name: &str, version: ProtocolVersion, tools: &[&str]) -> Self {
        let capabilities = json!({
            "tools": {"listChanged": true}, "resources": {"subscribe": true}, "prompts": {}, "completions": {},
            "logging": {},
        });
        let raw = json!({"serverInfo": {"name": name, "version": "1"}, "capabilities": capabilities});
        Self {
            name: ServerName::parse(name).unwrap(),
            info: ServerInfo {
                version,
                raw: RawValue::from_string(raw.to_string()).unwrap(),
                capabilities,
                instructions: Some(format!("use {name} well")),
            },
            secret: String::new(),
            tools: Mutex::new(tools.iter().map(ToString::to_string).collect()),
            resources: vec![format!("test://{name}/static")],
            templates: vec![format!("test://{name}/item/{{id}}")],
            prompts: vec!["greet".to_owned()],
            page: 100,
            notices: broadcast::channel(16).0,
            seen: Mutex::default(),
            cancelled: Notify::new(),
            begun: Notify::new(),
            release: Notify::new(),
            hangs: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
        }
    }

    pub(crate) fn calls_of(&self, method: &str) -> Vec<Option<String>> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|(name, _)| name == method).map(|(_, params)| params.clone()).collect()
    }

    pub(crate) fn change_tools(&self, tools: &[&str]) {
        *self.tools.lock().unwrap() = tools.iter().map(ToString::to_string).collect();
        let notice = Notice { method: "notifications/tools/list_changed".into(), params: None };
        let _ = self.notices.send(notice);
    }

    /// Waits until so many listen to the server's notices.
    pub(crate) async fn heard_by(&self, listeners: usize) {
        let heard = async {
            while self.notices.receiver_count() < listeners {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), heard).await.unwrap();
    }

    fn page_of(&self, member: &str, key: &str, names: &[String], params: &Value) -> Value {
        let start: usize = params["cursor"].as_str().map_or(0, |cursor| cursor.parse().unwrap());
        let end = (start + self.page).min(names.len());
        let items: Vec<Value> = names[start..end]
            .iter()
            .map(|name| json!({ key: name, "name": name, "description": self.secret, "inputSchema": {"type": "object"} }))
            .collect();
        let mut result = json!({ member: items });
        if end < names.len() {
            result["nextCursor"] = json!(end.to_string());
        }
        result
    }

    async fn tool(&self, params: &Value, raw: &str, downstream: &dyn Downstream) -> Result<Reply> {
        let text = |text: String| json!({"content": [{"type": "text", "text": text}]});
        let name = params["name"].as_str().unwrap_or_default();
        if !self.tools.lock().unwrap().iter().any(|tool| tool == name) {
            return Ok(failed(-32602, "no such tool"));
        }
        let result = match name {
            "echo" => {
                text(format!("{}{}", self.secret, params["arguments"]["text"].as_str().unwrap_or_default()))
            }
            // Everything that was sent, inside of a result, as it was sent.
            "mirror" => {
                return Ok(Reply::Result(RawValue::from_string(format!("{{\"seen\":{raw}}}")).unwrap()));
            }
            "wait" => {
                self.begun.notify_one();
                self.release.notified().await;
                text("released".to_owned())
            }
            "progress" => {
                for step in 1..=3 {
                    let token = &params["_meta"]["progressToken"];
                    let params = json!({"progressToken": token, "progress": step, "total": 3});
                    let params = RawValue::from_string(params.to_string()).unwrap();
                    downstream.notify("notifications/progress", Some(&params)).await;
                }
                text("done".to_owned())
            }
            "log" => {
                for level in ["debug", "error"] {
                    let params = json!({"level": level, "data": "x"});
                    let params = RawValue::from_string(params.to_string()).unwrap();
                    downstream.notify("notifications/message", Some(&params)).await;
                }
                text("logged".to_owned())
            }
            "ask" => {
                let question =
                    RawValue::from_string(json!({"messages": [], "maxTokens": 5}).to_string()).unwrap();
                match downstream.request("sampling/createMessage", Some(&question)).await {
                    Ok(Reply::Result(reply)) => text(format!("the client said {reply}")),
                    Ok(Reply::Error(error)) => text(format!("the client refused {error}")),
                    Err(error) => text(format!("not asked: {}", error.message())),
                }
            }
            "crash" => return Err(self.gone()),
            "input" => json!({"resultType": "input_required", "inputRequests": {}, "requestState": "s"}),
            _ => text(format!("{name} of {}", self.name)),
        };
        Ok(Reply::Result(RawValue::from_string(result.to_string()).unwrap()))
    }

    pub(crate) fn gone(&self) -> Error {
        Error::upstream("test.call", format!("the server `{}` is gone", self.name))
            .with_detail(Detail::Server { name: self.name.to_string() })
            .with_source("internal detail that no caller may see")
    }
}

fn failed(code: i64, message: &str) -> Reply {
    Reply::Error(RawValue::from_string(json!({"code": code, "message": message}).to_string()).unwrap())
}

struct Unanswered<'a>(&'a TestServer, bool);
impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::SeqCst);
        if !self.1 {
            self.0.cancelled.notify_one();
        }
    }
}

#[async_trait]
impl Upstream for TestServer {
    fn name(&self) -> &ServerName {
        &self.name
    }

    fn info(&self) -> &ServerInfo {
        &self.info
    }

    async fn call(
        &self,
        _scope: &Scope,
        method: &str,
        params: Option<&RawValue>,
        downstream: &dyn Downstream,
    ) -> Result<Reply> {
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        let mut guard = Unanswered(self, false);
        let raw = params.map_or("null", RawValue::get);
        self.seen.lock().unwrap().push((method.to_owned(), params.map(|params| params.get().to_owned())));
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let params: Value = serde_json::from_str(raw).unwrap();
        let tools = self.tools.lock().unwrap().clone();
        let result = match method {
            "tools/list" => self.page_of("tools", "name", &tools, &params),
            "resources/list" => self.page_of("resources", "uri", &self.resources, &params),
            "resources/templates/list" => {
                self.page_of("resourceTemplates", "uriTemplate", &self.templates, &params)
            }
            "prompts/list" => self.page_of("prompts", "name", &self.prompts, &params),
            "tools/call" => {
                let reply = self.tool(&params, raw, downstream).await;
                guard.1 = true;
                return reply;
            }
            "resources/read" => json!({"contents": [{"uri": params["uri"], "text": self.name}]}),
            "prompts/get" => json!({"messages": [], "description": params["name"]}),
            "completion/complete" => json!({"completion": {"values": [params["ref"]["name"]]}}),
            "logging/setLevel" => json!({}),
            _ => {
                guard.1 = true;
                return Ok(failed(-32601, "unknown method"));
            }
        };
        guard.1 = true;
        Ok(Reply::Result(RawValue::from_string(result.to_string()).unwrap()))
    }

    async fn notify(&self, _scope: &Scope, method: &str, params: Option<&RawValue>) -> Result<()> {
        self.seen.lock().unwrap().push((method.to_owned(), params.map(|params| params.get().to_owned())));
        Ok(())
    }

    fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }
}

/// Servers by tenant.
#[derive(Debug, Default)]
pub(crate) struct TestFleet {
    pub(crate) tenants: Mutex<HashMap<TenantId, Vec<Arc<TestServer>>>>,
    /// Names that are there but do not start.
    pub(crate) down: Mutex<Vec<ServerName>>,
}

#[async_trait]
impl Upstreams for TestFleet {
    fn names(&self, scope: &Scope) -> Vec<ServerName> {
        let tenants = self.tenants.lock().unwrap();
        let up = tenants.get(scope.tenant()).into_iter().flatten().map(|server| server.name.clone());
        up.chain(self.down.lock().unwrap().iter().cloned()).collect()
    }

    async fn connect(&self, scope: &Scope, server: &ServerName) -> Result<Arc<dyn Upstream>> {
        if self.down.lock().unwrap().contains(server) {
            return Err(Error::upstream("test.connect", format!("the server `{server}` does not start"))
                .with_detail(Detail::Server { name: server.to_string() }));
        }
        let tenants = self.tenants.lock().unwrap();
        let found = tenants.get(scope.tenant()).into_iter().flatten().find(|known| known.name == *server);
        match found {
            Some(found) => Ok(found.clone()),
            None => Err(Error::not_found("test.connect", format!("no server `{server}`"))),
        }
    }
}

/// Denials, kept for the test to look at.
#[derive(Debug, Default)]
pub(crate) struct Denials(pub(crate) Mutex<Vec<(Chain, AuditRecord)>>);

impl DenialLog for Denials {
    fn denied(&self, chain: Chain, record: AuditRecord) {
        self.0.lock().unwrap().push((chain, record));
    }
}

/// A gateway with everything a test looks at.
pub(crate) struct Bench {
    pub(crate) gateway: Gateway,
    pub(crate) fleet: Arc<TestFleet>,
    pub(crate) clock: ManualClock,
    pub(crate) denials: Arc<Denials>,
}

pub(crate) fn bench(servers: Vec<TestServer>) -> Bench {
    bench_with(GatewayConfig::default(), servers)
}

pub(crate) fn bench_with(config: GatewayConfig, servers: Vec<TestServer>) -> Bench {
    let bench = empty_bench(config);
    bench.add("acme", servers);
    bench
}

pub(crate) fn empty_bench(config: GatewayConfig) -> Bench {
    let fleet = Arc::new(TestFleet::default());
    let clock = ManualClock::new(Timestamp::from_micros(1_000_000));
    let denials = Arc::new(Denials::default());
    let gateway = Gateway::new(config, fleet.clone(), Arc::new(clock.clone()), denials.clone()).unwrap();
    Bench { gateway, fleet, clock, denials }
}

impl Bench {
    pub(crate) fn add(&self, tenant: &str, servers: Vec<TestServer>) {
        let servers = servers.into_iter().map(Arc::new).collect();
        self.fleet.tenants.lock().unwrap().insert(TenantId::parse(tenant).unwrap(), servers);
    }

    pub(crate) fn server(&self, tenant: &str, name: &str) -> Arc<TestServer> {
        let tenants = self.fleet.tenants.lock().unwrap();
        let servers = &tenants[&TenantId::parse(tenant).unwrap()];
        servers.iter().find(|server| server.name.as_str() == name).unwrap().clone()
    }

    /// Ann of acme, who may do everything.
    pub(crate) fn ann(&self) -> Client {
        self.client("acme", "ann", &["*"])
    }

    pub(crate) fn client(&self, tenant: &str, principal: &str, permissions: &[&str]) -> Client {
        client_of(&self.gateway, tenant, principal, permissions)
    }
}

/// A client of the aggregate endpoint that acts as this principal.
pub(crate) fn client_of(gateway: &Gateway, tenant: &str, principal: &str, permissions: &[&str]) -> Client {
    let principal = Principal {
        id: PrincipalId::parse(principal).unwrap(),
        kind: PrincipalKind::User,
        permissions: Permissions::parse(permissions.iter().copied()).unwrap(),
    };
    let scope = Scope::new(TenantId::parse(tenant).unwrap(), Arc::new(principal));
    Client { gateway: gateway.clone(), scope, path: "/mcp".to_owned(), session: None }
}

/// A client of either era.
#[derive(Clone)]
pub(crate) struct Client {
    gateway: Gateway,
    pub(crate) scope: Scope,
    pub(crate) path: String,
    pub(crate) session: Option<String>,
}

impl Client {
    pub(crate) fn at(mut self, path: &str) -> Self {
        self.path = path.to_owned();
        self
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Body>> {
        let mut request = request;
        request.extensions_mut().insert(self.scope.clone());
        tokio::time::timeout(Duration::from_secs(30), self.gateway.clone().oneshot(request)).await.unwrap()
    }

    /// A POST with the headers of a client with a session.
    pub(crate) fn legacy_request(&self, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
        let mut builder = Request::builder()
            .method(Method::POST)
            .uri(&self.path)
            .header("host", "mcp.example")
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream");
        if let Some(session) = &self.session {
            builder = builder.header("mcp-session-id", session).header("mcp-protocol-version", "2025-11-25");
        }
        builder.body(Full::new(body.into())).unwrap()
    }

    pub(crate) async fn post(&self, body: impl Into<Bytes>) -> Response<Body> {
        self.send(self.legacy_request(body)).await.unwrap()
    }

    /// Opens a session with these capabilities of the client's.
    pub(crate) async fn initialize(mut self, capabilities: Value) -> Self {
        let response = self.post(initialize("2025-11-25", capabilities)).await;
        assert_eq!(response.status(), StatusCode::OK);
        self.session = Some(response.headers()["mcp-session-id"].to_str().unwrap().to_owned());
        let done = self.post(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
        assert_eq!(done.status(), StatusCode::ACCEPTED);
        self
    }

    /// One request in the session; the answer's message.
    pub(crate) async fn rpc(&self, method: &str, params: Value) -> Value {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        message(self.post(body.to_string()).await).await
    }

    /// One request of a stateless client.
    pub(crate) fn stateless_request(&self, method: &str, params: Value) -> Request<Full<Bytes>> {
        let mut params = params;
        let meta = &mut params["_meta"];
        meta["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
        meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
        let body = json!({"jsonrpc": "2.0", "id": "x", "method": method, "params": params});
        let mut builder = Request::builder()
            .method(Method::POST)
            .uri(&self.path)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", method);
        let name = params.get("name").or_else(|| params.get("uri")).and_then(Value::as_str);
        if let Some(name) = name {
            builder = builder.header("mcp-name", name);
        }
        builder.body(Full::new(body.to_string().into())).unwrap()
    }

    pub(crate) async fn stateless(&self, method: &str, params: Value) -> Value {
        message(self.send(self.stateless_request(method, params)).await.unwrap()).await
    }
}

pub(crate) fn initialize(version: &str, capabilities: Value) -> String {
    json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": version, "capabilities": capabilities,
        "clientInfo": {"name": "test", "version": "1"},
    }})
    .to_string()
}

pub(crate) async fn bytes(response: Response<Body>) -> Bytes {
    let collected = tokio::time::timeout(Duration::from_secs(30), response.into_body().collect()).await;
    collected.unwrap().unwrap().to_bytes()
}

/// The message of a JSON response.
pub(crate) async fn message(response: Response<Body>) -> Value {
    assert_eq!(response.headers()["content-type"], "application/json");
    serde_json::from_slice(&bytes(response).await).unwrap()
}

/// The messages of a stream, one by one.
pub(crate) struct Events {
    body: Body,
    text: String,
    ready: VecDeque<Value>,
}

impl Events {
    pub(crate) fn of(response: Response<Body>) -> Self {
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body(), text: String::new(), ready: VecDeque::new() }
    }

    /// The next message; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let frame = tokio::time::timeout(Duration::from_secs(30), self.body.frame()).await.unwrap()?;
            self.text.push_str(std::str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap());
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let data: String = event.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
                if !data.is_empty() {
                    self.ready.push_back(serde_json::from_str(&data).unwrap());
                }
                self.text = rest.to_owned();
            }
        }
    }

    /// Waits for the first bytes, which are a comment.
    pub(crate) async fn opened(&mut self) {
        let frame = self.body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(frame.starts_with(b":"));
    }

    pub(crate) async fn rest(mut self) -> Vec<Value> {
        let mut all = Vec::new();
        while let Some(event) = self.next().await {
            all.push(event);
        }
        all
    }
}
