//! Servers that run in this process, and the gateway over them.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use mcp_automation::{
    gateway::{Gateway, GatewayConfig, Guards},
    protocol::{ProtocolVersion, ServerName},
    upstream::{Downstream, Notice, Reply, ServerInfo, Upstream, Upstreams},
};
use mcp_core::{
    Error, Result, Scope,
    audit::{AuditRecord, Chain, DenialLog},
    clock::{ManualClock, Timestamp},
    error::Detail,
    scope::TenantId,
};
use serde_json::{Value, json, value::RawValue};
use tokio::sync::{Notify, broadcast};

pub(crate) use crate::client::{Client, Events, bytes, client_of, initialize, message};

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

    pub(crate) fn update(&self, uri: &str) {
        let params = RawValue::from_string(json!({ "uri": uri }).to_string()).unwrap();
        let method = "notifications/resources/updated".into();
        let _ = self.notices.send(Notice { method, params: Some(params.into()) });
    }

    /// Waits until the server was called so many times with this method.
    pub(crate) async fn called(&self, method: &str, times: usize) {
        let called = async {
            while self.calls_of(method).len() < times {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), called).await.unwrap();
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
            "logging/setLevel" | "resources/subscribe" | "resources/unsubscribe" | "ping" => json!({}),
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

/// With guards, for acme.
pub(crate) fn guarded_bench(config: GatewayConfig, guards: Guards, servers: Vec<TestServer>) -> Bench {
    let bench = bench_of(config, guards);
    bench.add("acme", servers);
    bench
}

pub(crate) fn empty_bench(config: GatewayConfig) -> Bench {
    bench_of(config, Guards::default())
}

fn bench_of(config: GatewayConfig, guards: Guards) -> Bench {
    let fleet = Arc::new(TestFleet::default());
    let clock = ManualClock::new(Timestamp::from_micros(1_000_000));
    let denials = Arc::new(Denials::default());
    let (upstreams, time) = (fleet.clone(), Arc::new(clock.clone()));
    let gateway = Gateway::guarded(config, upstreams, time, denials.clone(), guards).unwrap();
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
