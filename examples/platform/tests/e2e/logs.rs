//! The platform's own log: personal data and secrets do not get into it where an operator says so.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Served, bounded::until, http::Attempt};

const EMAIL: &str = "ada@example.com";
const CARD: &str = "4111 1111 1111 1111";
const BEARER: &str = "Bearer abcdefghijklmnopqrstuvwxyz0123456789";

/// A server that says to its standard error what a careless one does.
fn careless() -> Value {
    let script =
        format!("echo 'order of {EMAIL}, card {CARD}, authorization: {BEARER}' >&2; exec \"$0\" fixture");
    json!({ "careless": { "command": "/bin/sh", "args": ["-c", script, env!("CARGO_BIN_EXE_mcp-platform")] } })
}

/// What a platform logs of a call to that server and of paths with personal data in them.
async fn logged(mode: &str, format: &str) -> (String, String) {
    let mut served = Served::prepare(&careless(), &format!("[pii]\nlogs = \"{mode}\"\n"));
    served.run_logged(&[
        ("MCP_PLATFORM__LOG__FORMAT", format),
        ("MCP_PLATFORM__LOG__FILTER", "info,mcp_automation=debug"),
    ]);
    let token = served.tenant("acme").expose().clone();
    let echo = json!({ "name": "careless__echo", "arguments": { "message": "hello" } });
    let called = Attempt::call(&served.url, "tools/call", echo).bearer(&token).send().await;
    assert_eq!(called.status, StatusCode::OK, "{called:?}");
    for part in [EMAIL, "4111111111111111", &token] {
        let path = format!("/contexts/{part}");
        Attempt::new(Method::GET, &served.api(&path)).bearer(&token).send().await;
    }
    let withholds = mode == "refuse";
    until("the server's words are in the log", async || {
        let log = served.log();
        if withholds { log.contains("was withheld") } else { log.contains("order of") }
    })
    .await;
    assert!(served.stop().success());
    (served.log(), token)
}

/// Whether it holds any of what must not be there.
fn tells(log: &str, token: &str) -> bool {
    let secret = BEARER.strip_prefix("Bearer ").unwrap();
    [EMAIL, CARD, "4111111111111111", secret, token].iter().any(|told| log.contains(told))
}

/// Every line of a log in JSON is an object still.
fn read(log: &str) -> Vec<Value> {
    log.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line} is no JSON")))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_with_an_address_a_card_or_a_token_comes_out_masked_as_text_and_as_json() {
    for format in ["text", "json"] {
        let (log, token) = logged("mask", format).await;
        assert!(!tells(&log, &token), "{format}: {log}");
        for mark in ["order of [email]", "card [card]", "[secret]", "/contexts/[email]", "/contexts/[card]"] {
            assert!(log.contains(mark), "{format}: {mark} is not in {log}");
        }
        if format == "json" {
            assert!(read(&log).iter().any(|line| line["message"] == "server's stderr"), "{log}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_hashes_or_withholds_where_that_is_asked_for_and_else_says_it_as_it_is() {
    let (log, token) = logged("hash", "json").await;
    assert!(!tells(&log, &token) && log.contains("order of [email_"), "{log}");
    // The same in the server's words as in a path: whoever reads can follow it without knowing it.
    let mark = log.split("order of ").nth(1).unwrap().split(',').next().unwrap();
    assert!(log.contains(&format!("/contexts/{mark}")), "{mark} is not in {log}");
    read(&log);

    let (log, token) = logged("refuse", "text").await;
    assert!(!tells(&log, &token) && !log.contains("order of"), "{log}");

    // Without it the above would prove nothing.
    let (log, token) = logged("off", "text").await;
    for told in [EMAIL, CARD, BEARER, &token] {
        assert!(log.contains(told), "{told} is not in {log}");
    }
}
