//! A platform that is killed takes its servers with it.
//!
//! The test is a program of its own, without the test harness, because it is the platform as well: it starts
//! itself with `host`, and the fleet in there starts it once more as launcher.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "test code outside of the harness")]

mod support;

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    time::Duration,
};

use mcp_automation::{
    fleet::{Fleet, FleetConfig, FleetSpec, ServerSpec, launcher},
    protocol::ProtocolVersion,
    upstream::Upstreams as _,
};
use mcp_fixture::{FixtureArgs, Protocol};
use serde_json::{json, value::to_raw_value};
use support::*;
use tokio_util::sync::CancellationToken;

/// As long as a launcher may take, and a little for the machine.
const GONE: Duration = Duration::from_secs(7);

fn main() {
    // First of all: started as a launcher, this program is nothing else.
    launcher::run_if_launched();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("host") => return runtime.block_on(host(arguments)),
        Some("fixture") => return runtime.block_on(fixture(arguments)),
        _ => {}
    }
    println!("\nrunning 3 tests");
    runtime.block_on(a_real_server());
    println!("test a_server_on_the_official_sdk_is_called_over_both_transports_in_both_eras ... ok");
    runtime.block_on(ends(|platform| platform.kill().unwrap()));
    println!("test killing_the_platform_ends_its_servers ... ok");
    runtime.block_on(ends(|platform| drop(platform.stdin.take())));
    println!("test a_platform_that_ends_in_order_ends_its_servers ... ok");
    println!("\ntest result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n");
}

/// The fixture, a server on the official SDK, as a process.
async fn fixture(mut arguments: impl Iterator<Item = String>) {
    let protocol = match arguments.next().as_deref() {
        Some("2026-07-28") => Protocol::Modern,
        _ => Protocol::Legacy,
    };
    mcp_fixture::run(FixtureArgs { protocol, ..FixtureArgs::default() }).await;
}

async fn a_real_server() {
    for (protocol, version) in
        [(Protocol::Legacy, ProtocolVersion::V2025_11_25), (Protocol::Modern, ProtocolVersion::V2026_07_28)]
    {
        let program = std::env::current_exe().unwrap().to_str().unwrap().to_owned();
        let stdio = ServerSpec::stdio(name("stdio"), program, ["fixture".to_owned(), version.to_string()]);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let router = mcp_fixture::router(&FixtureArgs { protocol, ..FixtureArgs::default() }, stop.clone());
        let serving = tokio::spawn(axum::serve(listener, router).into_future());
        let http = ServerSpec::http(name("http"), url.parse().unwrap());
        let fleet = Fleet::new(FleetSpec::new(vec![stdio, http]).unwrap(), FleetConfig::default());
        for server in ["stdio", "http"] {
            let scope = scope("acme");
            let upstream = fleet.connect(&scope, &name(server)).await.unwrap();
            assert_eq!(upstream.info().version, version, "{server}");
            let reply = call(&*upstream, &scope, "echo", json!({ "text": "hi" })).await.unwrap();
            assert_eq!(reply["structuredContent"], json!({ "text": "hi" }));
            let params = to_raw_value(&json!({ "name": "slow", "arguments": { "ms": 100, "steps": 3 }, "_meta": { "progressToken": "t" } })).unwrap();
            let ear = Ear::default();
            let reply = value(upstream.call(&scope, "tools/call", Some(&params), &ear).await.unwrap());
            let heard = ear.0.into_inner().unwrap();
            assert!(
                heard.len() == 3 && heard.iter().all(|(_, params)| params["progressToken"] == "t"),
                "{reply} {heard:?}"
            );
        }
        fleet.shutdown(Duration::ZERO).await;
        stop.cancel();
        serving.abort();
    }
}

/// The platform: starts one server and keeps it until its standard input ends.
async fn host(mut command: impl Iterator<Item = String>) {
    let program = command.next().unwrap();
    let spec = FleetSpec::new(vec![ServerSpec::stdio(name("py"), program, command)]).unwrap();
    let fleet = Fleet::new(spec, FleetConfig::default());
    fleet.connect(&scope("acme"), &name("py")).await.unwrap();
    println!("{}", fleet.status(&operator())[0].state.as_str());
    tokio::task::spawn_blocking(|| std::io::stdin().lines().count()).await.unwrap();
    fleet.shutdown(Duration::ZERO).await;
}

async fn ends(end: impl FnOnce(&mut std::process::Child)) {
    let mark = unique();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/server.py");
    // A wrapper as `npx` is one, a server that ignores SIGTERM, and a process in a session of its own.
    let line = format!("setsid sh -c 'sleep 1000; : {mark}' & python3 {script} stubborn {mark}; true");
    let mut platform = Command::new(std::env::current_exe().unwrap())
        .args(["host", "sh", "-c", &line])
        .env("PLATFORM_SECRET", "not for servers")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(platform.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line.trim(), "ready");
    let platform_pid = i32::try_from(platform.id()).unwrap();
    let servers: Vec<_> = marked(&mark).into_iter().filter(|(pid, _)| *pid != platform_pid).collect();
    assert!(servers.len() >= 3, "{servers:?}");
    for (pid, _) in &servers {
        let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
        assert!(!String::from_utf8_lossy(&environ).contains("PLATFORM_SECRET"));
    }
    end(&mut platform);
    platform.wait().unwrap();
    none_left(&mark, GONE).await;
}
