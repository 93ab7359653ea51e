//! The example runs as it stands, and an MCP client gets through it.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use clap::Parser as _;
use mcp_core::key::Secret;
use mcp_platform::client::McpClient;
use serde_json::json;
use tokio_util::sync::CancellationToken;

#[derive(clap::Parser)]
struct Fixture {
    #[command(flatten)]
    args: mcp_fixture::FixtureArgs,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_the_printed_key_calls_a_tool() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}/mcp", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    let router = mcp_fixture::router(&Fixture::parse_from(["fixture"]).args, stop.clone());
    let serving = tokio::spawn(
        axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned()).into_future(),
    );

    let directory = tempfile::tempdir().unwrap();
    let servers = json!({ "mcpServers": { "fixture": { "type": "http", "url": upstream } } });
    std::fs::write(directory.path().join(".mcp.json"), servers.to_string()).unwrap();
    let mut example = Command::new(env!("CARGO_BIN_EXE_mcp-minimal"))
        .current_dir(directory.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(example.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    let (url, key) = (words[1], words[words.len() - 1]);

    let refused = McpClient::connect(url.parse().unwrap(), Secret::new("nonsense".to_owned())).await;
    assert!(refused.unwrap_err().to_string().contains("401"));
    let mut client = McpClient::connect(url.parse().unwrap(), Secret::new(key.to_owned())).await.unwrap();
    let answer = client.call("fixture__echo", &json!({ "message": "hello" })).await;
    example.kill().unwrap();
    example.wait().unwrap();
    stop.cancel();
    serving.await.unwrap().unwrap();
    assert!(answer.unwrap().contains("hello"));
}
