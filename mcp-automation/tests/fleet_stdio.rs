//! The fleet with real processes: good servers of each era, and every kind of bad one.

mod support;

use std::time::{Duration, Instant};

use mcp_automation::{fleet::ServerState, protocol::ProtocolVersion, upstream::Upstreams};
use mcp_core::{ErrorKind, error::Detail};
use serde_json::json;
use support::*;

#[tokio::test]
async fn a_server_of_either_era_is_launched_and_called() {
    for (mode, version) in [
        ("legacy", ProtocolVersion::V2025_11_25),
        ("silent", ProtocolVersion::V2025_11_25),
        ("dies-at-probe", ProtocolVersion::V2025_11_25),
        ("modern", ProtocolVersion::V2026_07_28),
    ] {
        let fleet = fleet(vec![python("py", mode)], config());
        let scope = scope("acme");
        let upstream = fleet.connect(&scope, &name("py")).await.unwrap();
        assert_eq!(upstream.info().version, version, "{mode}");
        let result = call(&*upstream, &scope, "echo", json!({ "text": "hi" })).await.unwrap();
        assert_eq!(result["content"][0]["text"], "hi");
        fleet.shutdown(Duration::from_secs(1)).await;
    }
}

#[tokio::test]
async fn every_legacy_version_is_spoken_and_an_unknown_one_refused() {
    for version in &ProtocolVersion::ALL[..4] {
        let fleet = fleet(vec![with_env(python("py", "legacy"), "VERSION", version.as_str())], config());
        let upstream = fleet.connect(&scope("acme"), &name("py")).await.unwrap();
        assert_eq!(upstream.info().version, *version);
        fleet.shutdown(Duration::ZERO).await;
    }
    let fleet = fleet(vec![with_env(python("py", "legacy"), "VERSION", "1999-01-01")], config());
    let error = fleet.connect(&scope("acme"), &name("py")).await.unwrap_err();
    assert!(error.report().contains("1999-01-01") && error.message().contains("`py`"), "{error}");
    assert!(!error.message().contains("1999-01-01"), "{error}");
    fleet.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_crash_is_named_and_the_server_restarted_while_others_go_on() {
    let mark = unique();
    let bad = with_env(python("bad", "legacy"), "MARK", &mark);
    let fleet = fleet(vec![bad, with_env(python("good", "legacy"), "MARK", &mark)], config());
    let (acme, other) = (scope("acme"), scope("other"));
    let bad = fleet.connect(&acme, &name("bad")).await.unwrap();
    let good = fleet.connect(&acme, &name("good")).await.unwrap();
    let others = fleet.connect(&other, &name("bad")).await.unwrap();

    let error = call(&*bad, &acme, "crash", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Upstream, "{error:?}");
    assert_eq!(error.message(), "server `bad`: the connection has ended");
    assert!(error.details().contains(&Detail::Server { name: "bad".to_owned() }));
    assert_eq!(call(&*good, &acme, "echo", json!({"text": "x"})).await.unwrap()["content"][0]["text"], "x");
    assert_eq!(
        call(&*others, &other, "echo", json!({"text": "y"})).await.unwrap()["content"][0]["text"],
        "y"
    );
    let back = call_until_back(&fleet, "acme", "bad", "pid").await;
    assert!(back["pid"].is_u64());
    let status = fleet.status(&operator());
    let acme_bad =
        status.iter().find(|s| s.server == name("bad") && s.tenant.as_ref() == Some(acme.tenant())).unwrap();
    assert!(acme_bad.starts >= 2 && matches!(acme_bad.state, ServerState::Ready { .. }), "{acme_bad:?}");
    assert!(fleet.tenant_status(&acme).iter().all(|s| s.tenant.as_ref().is_none_or(|t| t == acme.tenant())));

    fleet.shutdown(Duration::from_secs(1)).await;
    none_left(&mark, Duration::ZERO).await;
}

#[tokio::test]
async fn a_hang_ends_at_the_deadline_and_the_server_is_told() {
    let fleet = fleet(vec![python("py", "legacy")], config());
    let upstream = fleet.connect(&scope("acme"), &name("py")).await.unwrap();
    let began = Instant::now();
    let error = call(&*upstream, &scope_for("acme", Duration::from_millis(300)), "hang", json!({}))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
    assert!(error.message().contains("`py`"));
    assert!(began.elapsed() < Duration::from_secs(3));
    let told = call(&*upstream, &scope("acme"), "cancelled", json!({})).await.unwrap();
    assert_eq!(told["cancelled"].as_array().unwrap().len(), 1);
    fleet.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn garbage_is_survived_and_an_unreadable_answer_fails_its_call_at_once() {
    let fleet = fleet(vec![python("py", "legacy")], config());
    let scope = scope("acme");
    let upstream = fleet.connect(&scope, &name("py")).await.unwrap();
    assert_eq!(call(&*upstream, &scope, "garbage", json!({})).await.unwrap()["after"], "garbage");
    let error = call(&*upstream, &scope, "bad_utf8", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Upstream);
    assert!(error.message().contains("`py`"), "{error}");
    assert_eq!(call(&*upstream, &scope, "twice", json!({})).await.unwrap()["n"], 1);
    assert_eq!(
        call(&*upstream, &scope, "echo", json!({"text": "z"})).await.unwrap()["content"][0]["text"],
        "z"
    );
    fleet.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_line_of_100_mb_fails_its_call_and_the_server_serves_on() {
    let fleet = fleet(vec![python("py", "legacy")], config());
    let scope = scope_for("acme", Duration::from_secs(60));
    let upstream = fleet.connect(&scope, &name("py")).await.unwrap();
    let error = call(&*upstream, &scope, "huge", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error:?}");
    assert!(error.message().contains("`py`"));
    assert_eq!(
        call(&*upstream, &scope, "echo", json!({"text": "on"})).await.unwrap()["content"][0]["text"],
        "on"
    );
    // Nobody knows whose this one is: the connection ends, and the server is started again.
    let error = call(&*upstream, &scope, "huge_anonymous", json!({})).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Upstream, "{error:?}");
    assert!(call_until_back(&fleet, "acme", "py", "pid").await["pid"].is_u64());
    fleet.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_line_without_end_costs_its_caller_the_deadline_and_nobody_else_anything() {
    let mark = unique();
    let fleet = fleet(vec![with_env(python("py", "legacy"), "MARK", &mark)], config());
    let (short, other) = (scope_for("acme", Duration::from_secs(1)), scope("other"));
    let upstream = fleet.connect(&scope("acme"), &name("py")).await.unwrap();
    let others = fleet.connect(&other, &name("py")).await.unwrap();
    let (flooded, echoed) = tokio::join!(
        call(&*upstream, &short, "flood", json!({})),
        call(&*others, &other, "echo", json!({"text": "x"}))
    );
    assert_eq!(flooded.unwrap_err().kind(), ErrorKind::DeadlineExceeded);
    assert!(echoed.is_ok());
    fleet.shutdown(Duration::ZERO).await;
    none_left(&mark, Duration::ZERO).await;
}
