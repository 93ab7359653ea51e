//! What the fleet's tests share.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::panic,
    reason = "test code; each test binary compiles this for itself and uses its own part"
)]

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use mcp_automation::{
    fleet::{Fleet, FleetConfig, FleetSpec, ServerSpec, TransportSpec, launcher::Launcher},
    protocol::ServerName,
    upstream::{Deaf, Downstream, Reply, Upstream, Upstreams},
};
use mcp_core::{
    Result, Scope,
    key::Secret,
    scope::{Permissions, PlatformScope, Principal, PrincipalId, PrincipalKind, TenantId},
};
use serde_json::{
    Value, json,
    value::{RawValue, to_raw_value},
};

pub fn name(text: &str) -> ServerName {
    ServerName::parse(text).unwrap()
}

/// A scope of `tenant` with 10 s to go.
pub fn scope(tenant: &str) -> Scope {
    scope_for(tenant, Duration::from_secs(10))
}

pub fn scope_for(tenant: &str, deadline: Duration) -> Scope {
    let principal = Principal {
        id: PrincipalId::parse("tester").unwrap(),
        kind: PrincipalKind::User,
        permissions: Permissions::parse(["*"]).unwrap(),
    };
    Scope::new(TenantId::parse(tenant).unwrap(), Arc::new(principal)).with_deadline(Instant::now() + deadline)
}

pub fn operator() -> PlatformScope {
    PlatformScope::new(PrincipalId::parse("operator").unwrap(), "test")
}

/// The server of `server.py` in `mode`.
pub fn python(server: &str, mode: &str) -> ServerSpec {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/server.py");
    ServerSpec::stdio(name(server), "python3", [script.to_owned(), mode.to_owned()])
}

pub fn with_env(mut spec: ServerSpec, variable: &str, value: &str) -> ServerSpec {
    if let TransportSpec::Stdio(stdio) = &mut spec.transport {
        stdio.env.insert(variable.to_owned(), Secret::new(value.to_owned()));
    }
    spec
}

pub fn config() -> FleetConfig {
    FleetConfig {
        launcher: Launcher::Program(env!("CARGO_BIN_EXE_mcp-launcher").into()),
        backoff_min: Duration::from_millis(20),
        backoff_max: Duration::from_millis(100),
        start: Duration::from_secs(20),
        ..FleetConfig::default()
    }
}

pub fn fleet(servers: Vec<ServerSpec>, config: FleetConfig) -> Fleet {
    Fleet::new(FleetSpec::new(servers).unwrap(), config)
}

/// Calls a tool and gives the result, or the error object under `error`.
pub async fn call(upstream: &dyn Upstream, scope: &Scope, tool: &str, arguments: Value) -> Result<Value> {
    let params = to_raw_value(&json!({ "name": tool, "arguments": arguments })).unwrap();
    let reply = upstream.call(scope, "tools/call", Some(&params), &Deaf).await?;
    Ok(value(reply))
}

pub fn value(reply: Reply) -> Value {
    match reply {
        Reply::Result(raw) => serde_json::from_str(raw.get()).unwrap(),
        Reply::Error(raw) => json!({ "error": serde_json::from_str::<Value>(raw.get()).unwrap() }),
    }
}

/// Connects and calls, again after each failure until the server is back.
pub async fn call_until_back(fleet: &Fleet, tenant: &str, server: &str, tool: &str) -> Value {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let scope = scope(tenant);
        let tried = match fleet.connect(&scope, &name(server)).await {
            Ok(upstream) => call(&*upstream, &scope, tool, json!({})).await,
            Err(error) => Err(error),
        };
        match tried {
            Ok(value) => return value,
            Err(error) if Instant::now() > until => panic!("never came back: {error:?}"),
            Err(error) => tokio::time::sleep(error.retry_after().unwrap_or(Duration::from_millis(10))).await,
        }
    }
}

/// `server.py` over HTTP; killed when dropped.
pub struct HttpServer {
    child: std::process::Child,
    pub port: u16,
}

impl HttpServer {
    pub fn start(mode: &str) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/server.py");
        let mut command = std::process::Command::new("python3");
        command.args([script, mode, "http"]).stdout(std::process::Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut stdout, &mut line).unwrap();
        Self { child, port: line.trim().parse().unwrap() }
    }

    pub fn spec(&self, server: &str) -> ServerSpec {
        ServerSpec::http(name(server), format!("http://127.0.0.1:{}/mcp", self.port).parse().unwrap())
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Remembers what comes and answers every request.
#[derive(Default)]
pub struct Ear(pub Mutex<Vec<(String, Value)>>);

impl Ear {
    fn hear(&self, method: &str, params: Option<&RawValue>) {
        let params = params.map_or(Value::Null, |raw| serde_json::from_str(raw.get()).unwrap());
        self.0.lock().unwrap().push((method.to_owned(), params));
    }
}

#[async_trait]
impl Downstream for Ear {
    async fn notify(&self, method: &str, params: Option<&RawValue>) {
        self.hear(method, params);
    }

    async fn request(&self, method: &str, params: Option<&RawValue>) -> Result<Reply> {
        self.hear(method, params);
        Ok(Reply::Result(to_raw_value(&json!({ "sampled": true })).unwrap()))
    }
}

/// Processes whose environment or command line holds `mark`.
pub fn marked(mark: &str) -> Vec<(i32, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|text| text.parse::<i32>().ok()) else {
            continue;
        };
        if pid == i32::try_from(std::process::id()).unwrap() {
            continue;
        }
        let read = |file: &str| std::fs::read(entry.path().join(file)).unwrap_or_default();
        let (environ, cmdline) = (read("environ"), read("cmdline"));
        let holds = |bytes: &[u8]| bytes.windows(mark.len()).any(|window| window == mark.as_bytes());
        if holds(&environ) || holds(&cmdline) {
            found.push((pid, String::from_utf8_lossy(&cmdline).replace('\0', " ")));
        }
    }
    found
}

/// Waits up to `wait` until no process carries `mark`.
pub async fn none_left(mark: &str, wait: Duration) {
    let until = Instant::now() + wait;
    loop {
        let left = marked(mark);
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < until, "still running: {left:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub fn unique() -> String {
    format!("mark-{}", uuid::Uuid::new_v4().simple())
}
