//! The platform in front of an HTTP upstream, everything on, beside a proxy that forwards bytes.

use std::{path::Path, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;

use crate::{
    Failure,
    child::Measured,
    load::{self, Post},
    measure::{Cost, Measure},
    platform::Platform,
    row::Row,
    upstream::Era,
};

const NAME: &str = "gateway";

/// Runs every case.
///
/// # Errors
/// When a part does not start or answer.
pub(crate) async fn run(seconds: Duration, platform: &Path) -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for era in [Era::Legacy, Era::Modern] {
        let upstream = Measured::part(&["__upstream", era.version()]).await?;
        let proxy = Measured::part(&["__proxy", &upstream.address.to_string()]).await?;
        let directory = tempfile::tempdir()?;
        let (gateway, key) = start(platform, directory.path(), &upstream).await?;
        let bare = post(era, "echo", &[]);
        let ours = session(era, &gateway, &key).await?;
        for connections in [1, 32] {
            let direct = load::run(upstream.address, connections, seconds / 2, &bare).await?;
            let reference = measure(&proxy, connections, seconds, &bare).await?;
            let measured = measure(&gateway, connections, seconds, &ours).await?;
            rows.extend(compare(era, connections, &direct, &measured, &reference));
        }
        let case = format!("{} memory after load", era.version());
        rows.push(Row::less(NAME, case, "MiB", gateway.resident_mib()?, proxy.resident_mib()?));
    }
    Ok(rows)
}

async fn measure(
    process: &Measured,
    connections: usize,
    span: Duration,
    post: &Post,
) -> Result<Cost, Failure> {
    // Warmed up: connections, caches, the first list.
    let load = async |span| load::run(process.address, connections, span, post).await;
    Cost::of(span, || process.cpu_seconds(), load).await
}

fn compare(era: Era, connections: usize, direct: &Measure, ours: &Cost, proxy: &Cost) -> Vec<Row> {
    let case = format!("{} {connections} conn", era.version());
    let mut rows = ours.rates(proxy, NAME, &case, "requests").to_vec();
    rows.extend(ours.latencies(proxy, NAME, &case));
    if connections > 1 {
        return rows;
    }
    // What the way costs, where nothing waits for anything else.
    let added = |cost: &Cost| {
        // Less than the clock can tell apart counts as a tenth of a microsecond, so that ratios stay finite.
        (cost.measure.micros(0.5) - direct.micros(0.5)).max(0.1)
    };
    rows.push(Row::less(NAME, format!("{case} added p50"), "us", added(ours), added(proxy)));
    rows
}

/// A platform with one tenant and one server, in an empty directory; its key may do everything.
async fn start(program: &Path, directory: &Path, upstream: &Measured) -> Result<(Measured, String), Failure> {
    let platform = Platform::prepare(program, directory, Some(upstream.address), "")?;
    let key = platform.tenant("bench", u32::MAX).await?;
    Ok((platform.serve().await?, key))
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

/// A call of `tool`, with these headers besides the protocol's.
pub(crate) fn post(era: Era, tool: &str, more: &[(&'static str, &str)]) -> Post {
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
