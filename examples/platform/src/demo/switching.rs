//! The life of a server: added from npm while the platform runs, and switched to another release and back
//! under a running stream of calls.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::Method;
use mcp_core::{Error, Result};
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{expect, servers::Mounted, show::Show};
use crate::rest::RestClient;

const PACKAGE: &str = "npm:@modelcontextprotocol/server-everything";
const SERVER: &str = "switched";
const OLD: &str = "2026.7.4";
const NEW: &str = "2026.8.31";
/// Callers that go on all the while.
const CALLERS: usize = 4;
/// Longest wait for one installation.
const PATIENCE: Duration = Duration::from_secs(60);

const ADD: &str = "add a server from npm while running";
const SWITCH: &str = "switch its release under load, and back";

/// Adds the server and switches it; where npm or its registry is out of reach, it says so.
pub(super) async fn show(
    show: &mut Show,
    mounted: &Mounted,
    operator: &RestClient,
    acme: &RestClient,
) -> Result<()> {
    if let Err(reason) = mounted.npm() {
        show.skip(ADD, reason);
        show.skip(SWITCH, reason);
        return Ok(());
    }
    show.step(ADD, add(mounted, operator, acme)).await?;
    show.step(SWITCH, switch(operator, acme)).await
}

async fn add(mounted: &Mounted, operator: &RestClient, acme: &RestClient) -> Result<((), String)> {
    let began = Instant::now();
    let package = format!("{PACKAGE}@{OLD}");
    let new = json!({ "name": SERVER, "package": package, "env": mounted.mark() });
    finished(operator, operator.post("/api/v1/operator/servers", &new).await?).await?;
    let took = began.elapsed().as_secs_f64();
    expect(call(acme).await?, || "the added server does not answer".to_owned())?;
    Ok(((), format!("{package}: resolved, hash checked, installed, started and checked in {took:.1} s")))
}

async fn switch(operator: &RestClient, acme: &RestClient) -> Result<((), String)> {
    let (answered, failed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let stop = CancellationToken::new();
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (acme, stop) = (acme.clone(), stop.clone());
        let (answered, failed) = (Arc::clone(&answered), Arc::clone(&failed));
        callers.spawn(async move {
            while !stop.is_cancelled() {
                let count = if call(&acme).await.unwrap_or(false) { &answered } else { &failed };
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    for version in [NEW, OLD] {
        let used = operator
            .post(&format!("/api/v1/operator/servers/{SERVER}/use"), &json!({ "version": version }))
            .await?;
        finished(operator, used).await?;
        let server = operator.get(&format!("/api/v1/operator/servers/{SERVER}")).await?;
        expect(server["version"] == version, || server.to_string())?;
    }
    stop.cancel();
    while callers.join_next().await.is_some() {}
    let (answered, failed) = (answered.load(Ordering::Relaxed), failed.load(Ordering::Relaxed));
    expect(failed == 0 && answered > 0, || format!("{failed} of {} calls failed", answered + failed))?;
    Ok(((), format!("{OLD} → {NEW} → {OLD}: {answered} calls answered, {failed} failed")))
}

/// Waits for an operation of the operator's to end.
async fn finished(operator: &RestClient, begun: Value) -> Result<()> {
    let url = begun["status_url"].as_str().unwrap_or_default().to_owned();
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        let work = operator.get(&url).await?;
        match work["state"].as_str() {
            Some("running") => tokio::time::sleep(Duration::from_millis(50)).await,
            Some("done") => return Ok(()),
            _ => return Err(Error::upstream("demo.switch", work.to_string())),
        }
    }
    Err(Error::upstream("demo.switch", format!("{url} is not done after {PATIENCE:?}")))
}

/// One stateless call, as protocol 2026-07-28 has them; whether it was answered.
async fn call(acme: &RestClient) -> Result<bool> {
    let tool = format!("{SERVER}__echo");
    let body = json!({
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": { "name": tool, "arguments": { "message": "still there" }, "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": { "name": "mcp-platform", "version": env!("CARGO_PKG_VERSION") },
            "io.modelcontextprotocol/clientCapabilities": {},
        } },
    });
    let headers =
        [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", tool.as_str())];
    let answer = acme.send(Method::POST, "/mcp", &headers, Some(&body)).await?;
    let text = answer.body["result"]["content"][0]["text"].as_str().unwrap_or_default();
    Ok(answer.status.is_success() && text.contains("still there"))
}
