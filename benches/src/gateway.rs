//! The platform in front of an HTTP upstream, everything on, beside a proxy that forwards bytes.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{
    Failure,
    child::Measured,
    load::{self, Measure, Post},
    row::Row,
    upstream::Era,
};

const NAME: &str = "gateway";

/// Runs every case.
///
/// # Errors
/// When a part does not build, start or answer.
pub(crate) async fn run(seconds: Duration, platform: Option<PathBuf>) -> Result<Vec<Row>, Failure> {
    let platform = match platform {
        Some(platform) => platform,
        None => build().await?,
    };
    let mut rows = Vec::new();
    for era in [Era::Legacy, Era::Modern] {
        let upstream = Measured::part(&["__upstream", era.version()]).await?;
        let proxy = Measured::part(&["__proxy", &upstream.address.to_string()]).await?;
        let directory = tempfile::tempdir()?;
        let (gateway, key) = start(&platform, directory.path(), &upstream).await?;
        let bare = post(era, "echo", &[]);
        let ours = session(era, &gateway, &key).await?;
        for connections in [1, 32] {
            let direct = load::run(upstream.address, connections, seconds / 2, &bare).await?;
            let reference = Loaded::measure(&proxy, connections, seconds, &bare).await?;
            let measured = Loaded::measure(&gateway, connections, seconds, &ours).await?;
            rows.extend(compare(era, connections, &direct, &measured, &reference));
        }
        let case = format!("{} memory after load", era.version());
        rows.push(Row::less(NAME, case, "MiB", gateway.resident_mib()?, proxy.resident_mib()?));
    }
    Ok(rows)
}

/// A measure and what it cost the process.
struct Loaded {
    measure: Measure,
    cpu: f64,
}

impl Loaded {
    async fn measure(
        process: &Measured,
        connections: usize,
        span: Duration,
        post: &Post,
    ) -> Result<Self, Failure> {
        // Warm: connections, caches, the first list.
        load::run(process.address, connections, span / 4, post).await?;
        let before = process.cpu_seconds()?;
        let measure = load::run(process.address, connections, span, post).await?;
        Ok(Self { measure, cpu: process.cpu_seconds()? - before })
    }

    fn cpu_per_thousand(&self) -> f64 {
        self.cpu * 1_000.0 / self.measure.requests as f64
    }
}

fn compare(era: Era, connections: usize, direct: &Measure, ours: &Loaded, proxy: &Loaded) -> Vec<Row> {
    let case = |what: &str| format!("{} {connections} conn {what}", era.version());
    let added = |loaded: &Loaded, quantile| {
        // Less than the clock can tell apart counts as a tenth of a microsecond, so that ratios stay finite.
        (loaded.measure.micros(quantile) - direct.micros(quantile)).max(0.1)
    };
    vec![
        Row::more(NAME, case("requests"), "1/s", ours.measure.per_second(), proxy.measure.per_second()),
        Row::less(NAME, case("CPU per 1000"), "s", ours.cpu_per_thousand(), proxy.cpu_per_thousand()),
        Row::less(NAME, case("added p50"), "us", added(ours, 0.5), added(proxy, 0.5)),
        Row::less(NAME, case("added p99"), "us", added(ours, 0.99), added(proxy, 0.99)),
    ]
}

/// Builds the platform in the profile this program was built in, and says where it is.
async fn build() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe()?;
    let directory = own.parent().ok_or("this program is in no directory")?;
    let profile = match directory.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--locked", "--package", "mcp-platform", "--profile", profile])
        .arg("--target-dir")
        .arg(directory.parent().ok_or("this program is in no target directory")?)
        .stdin(Stdio::null())
        .status()
        .await?;
    let platform = directory.join("mcp-platform");
    if built.success() { Ok(platform) } else { Err("mcp-platform does not build".into()) }
}

/// A platform with one tenant and one server, in an empty directory; its key may do everything.
async fn start(
    platform: &Path,
    directory: &Path,
    upstream: &Measured,
) -> Result<(Measured, String), Failure> {
    let servers =
        json!({"mcpServers": {"up": {"type": "http", "url": format!("http://{}/mcp", upstream.address)}}});
    let servers_file = directory.join("mcp.json");
    std::fs::write(&servers_file, servers.to_string())?;
    let [listen, operations] = [free_port()?, free_port()?];
    let config = directory.join("platform.toml");
    std::fs::write(
        &config,
        format!(
            "[server]\nlisten = \"{listen}\"\noperations_listen = \"{operations}\"\n\
             [data]\ndir = {:?}\n[fleet]\nfile = {servers_file:?}\n[log]\nfilter = \"warn\"\n",
            directory.join("data"),
        ),
    )?;
    let command = |arguments: &[&str]| {
        let mut command = Command::new(platform);
        command.arg("--config").arg(&config).args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        command
    };
    let limit = u32::MAX.to_string();
    output(command(&["--json", "tenant", "create", "bench", "--requests-per-minute", &limit])).await?;
    let created: Value =
        serde_json::from_slice(&output(command(&["--json", "key", "create", "bench"])).await?)?;
    let key = created["key"].as_str().ok_or("`key create` printed no key")?.to_owned();
    let gateway = Measured::of(command(&["serve"]).stdout(Stdio::null()).spawn()?, listen);
    let listening = async {
        while tokio::net::TcpStream::connect(listen).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), listening)
        .await
        .map_err(|_| "the platform does not listen")?;
    Ok((gateway, key))
}

async fn output(mut command: Command) -> Result<Vec<u8>, Failure> {
    let done = command.output().await?;
    if done.status.success() {
        return Ok(done.stdout);
    }
    Err(format!("mcp-platform: {}", String::from_utf8_lossy(&done.stderr)).into())
}

fn free_port() -> Result<std::net::SocketAddr, Failure> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// The call as a client of the gateway makes it, in a session where its version has them.
async fn session(era: Era, gateway: &Measured, key: &str) -> Result<Post, Failure> {
    let bearer = format!("Bearer {key}");
    let mut call = post(era, "up__echo", &[("authorization", &bearer)]);
    if era == Era::Modern {
        return Ok(call);
    }
    let params = json!({
        "protocolVersion": era.version(), "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"},
    });
    let hello = Post { headers: call.headers.clone(), method: "initialize", params };
    let (response, body) = load::once(gateway.address, &hello).await?;
    let id = response
        .headers()
        .get("mcp-session-id")
        .ok_or_else(|| format!("no session: {} {}", response.status(), String::from_utf8_lossy(&body)))?;
    call.headers.insert("mcp-session-id", id.clone());
    Ok(call)
}

fn post(era: Era, tool: &str, more: &[(&'static str, &str)]) -> Post {
    let mut params = json!({"name": tool, "arguments": {"text": "0123456789abcdef0123456789abcdef"}});
    let mut headers = HeaderMap::new();
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    set("content-type", "application/json");
    set("accept", "application/json, text/event-stream");
    set("mcp-protocol-version", era.version());
    if era == Era::Modern {
        set("mcp-method", "tools/call");
        set("mcp-name", tool);
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": era.version(),
            "io.modelcontextprotocol/clientCapabilities": {},
        });
    }
    for (name, value) in more {
        set(name, value);
    }
    Post { headers, method: "tools/call", params }
}
