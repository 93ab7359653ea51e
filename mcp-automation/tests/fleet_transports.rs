//! The promises of `Upstream`, each on stdio and on HTTP, with servers of both eras.

mod support;

use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use mcp_automation::{
    fleet::Fleet,
    upstream::{Deaf, Upstreams},
};
use mcp_core::{ErrorKind, error::Detail};
use serde_json::{
    json,
    value::{RawValue, to_raw_value},
};
use support::*;

async fn on_every_transport<F: AsyncFn(&Fleet, &str)>(promise: F) {
    for mode in ["legacy", "modern"] {
        let stdio = fleet(vec![python("py", mode)], config());
        promise(&stdio, mode).await;
        stdio.shutdown(Duration::ZERO).await;
        let server = HttpServer::start(mode);
        let http = fleet(vec![server.spec("py")], config());
        promise(&http, mode).await;
        http.shutdown(Duration::ZERO).await;
    }
}

#[tokio::test]
async fn promise_1_a_call_ends_by_its_deadline_and_a_late_answer_is_nobody_elses() {
    on_every_transport(async |fleet, _| {
        let upstream = fleet.connect(&scope("acme"), &name("py")).await.unwrap();
        let (short, began) = (scope_for("acme", Duration::from_millis(200)), Instant::now());
        let error = call(&*upstream, &short, "late", json!({ "seconds": 0.5 })).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
        assert!(error.details().contains(&Detail::Server { name: "py".to_owned() }));
        assert!(began.elapsed() < Duration::from_secs(3));
        let next = call(&*upstream, &scope("acme"), "late", json!({ "seconds": 0.6 })).await.unwrap();
        assert_eq!(next["late"], true);
        let next = call(&*upstream, &scope("acme"), "echo", json!({ "text": "mine" })).await.unwrap();
        assert_eq!(next["content"][0]["text"], "mine");
    })
    .await;
}

#[tokio::test]
async fn promise_2_a_dropped_call_is_cancelled_at_the_server() {
    on_every_transport(async |fleet, _| {
        let scope = scope("acme");
        let upstream = fleet.connect(&scope, &name("py")).await.unwrap();
        let dropped =
            tokio::time::timeout(Duration::from_millis(200), call(&*upstream, &scope, "hang", json!({})));
        assert!(dropped.await.is_err());
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            let told = call(&*upstream, &scope, "cancelled", json!({})).await.unwrap();
            if told["cancelled"].as_array().unwrap().len() == 1 {
                break;
            }
            assert!(Instant::now() < until, "the server was never told");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn promise_3_what_belongs_to_a_call_comes_before_its_reply_and_in_order() {
    on_every_transport(async |fleet, mode| {
        let scope = scope("acme");
        let upstream = fleet.connect(&scope, &name("py")).await.unwrap();
        let params = json!({ "name": "progress", "arguments": {}, "_meta": { "progressToken": "mine" } });
        let (ear, params) = (Ear::default(), to_raw_value(&params).unwrap());
        upstream.call(&scope, "tools/call", Some(&params), &ear).await.unwrap();
        let heard = ear.0.into_inner().unwrap();
        let wanted: Vec<_> = (0..3)
            .map(|step| {
                let params = json!({ "progressToken": "mine", "progress": step, "extra": [1.0] });
                ("notifications/progress".to_owned(), params)
            })
            .collect();
        assert_eq!(heard, wanted);
        if mode == "legacy" {
            let (ear, params) = (Ear::default(), to_raw_value(&json!({ "name": "sample" })).unwrap());
            let reply = value(upstream.call(&scope, "tools/call", Some(&params), &ear).await.unwrap());
            assert_eq!(reply["got"], json!({ "sampled": true }));
            assert_eq!(
                ear.0.into_inner().unwrap(),
                [("sampling/createMessage".to_owned(), json!({ "maxTokens": 1 }))]
            );
            let reply = value(upstream.call(&scope, "tools/call", Some(&params), &Deaf).await.unwrap());
            assert_eq!(reply["refused"]["code"], -32601);
        }
    })
    .await;
}

#[tokio::test]
async fn promise_4_parameters_and_results_pass_unread() {
    on_every_transport(async |fleet, mode| {
        let scope = scope("acme");
        let upstream = fleet.connect(&scope, &name("py")).await.unwrap();
        let text = "{\n\"name\": \"params\", \"odd\": {\"é\": [1e2, null]}, \"_meta\": {\"progressToken\": \"t\", \"x/y\": 1}}";
        let params = RawValue::from_string(text.to_owned()).unwrap();
        let mut got = value(upstream.call(&scope, "tools/call", Some(&params), &Deaf).await.unwrap());
        let meta = got["_meta"].as_object_mut().unwrap();
        assert!(meta.remove("progressToken").unwrap().is_u64());
        let added = [meta.remove("io.modelcontextprotocol/protocolVersion"), meta.remove("io.modelcontextprotocol/clientCapabilities")];
        assert_eq!(added.iter().all(Option::is_some), mode == "modern", "{added:?}");
        assert_eq!(got, json!({ "name": "params", "odd": { "é": [1e2, null] }, "_meta": { "x/y": 1 } }));
        let unknown = call(&*upstream, &scope, "no such tool", json!({})).await.unwrap();
        assert_eq!(unknown["error"], json!({ "code": -32602, "message": "Unknown tool: no such tool" }));
    })
    .await;
}

#[tokio::test]
async fn promise_5_when_the_connection_ends_every_call_fails_at_once() {
    on_every_transport(async |fleet, _| {
        let scope = scope_for("acme", Duration::from_secs(60));
        let upstream = fleet.connect(&scope, &name("py")).await.unwrap();
        let (began, crash) = (Instant::now(), async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            call(&*upstream, &scope, "crash", json!({})).await
        });
        let (hung, crashed) = tokio::join!(call(&*upstream, &scope, "hang", json!({})), crash);
        for error in [hung.unwrap_err(), crashed.unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::Upstream, "{error:?}");
            assert!(error.message().contains("`py`"));
        }
        assert!(began.elapsed() < Duration::from_secs(5));
    })
    .await;
}

#[tokio::test]
async fn notices_reach_their_listeners_and_close_with_the_connection() {
    for (http, mode) in [(false, "legacy"), (true, "legacy"), (false, "modern"), (true, "modern")] {
        let server = http.then(|| HttpServer::start(mode));
        let spec = server.as_ref().map_or_else(|| python("py", mode), |server| server.spec("py"));
        let (fleet, scope) = (fleet(vec![spec], config()), scope("acme"));
        let upstream = fleet.connect(&scope, &name("py")).await.unwrap();
        let mut notices = upstream.notices();
        call(&*upstream, &scope, "notice", json!({})).await.unwrap();
        assert_eq!(&*notices.recv().await.unwrap().method, "notifications/tools/list_changed");
        fleet.shutdown(Duration::ZERO).await;
        assert!(notices.recv().await.is_err());
    }
}

#[tokio::test]
async fn a_forgotten_session_is_begun_anew_once_for_all_calls() {
    let server = HttpServer::start("legacy");
    let (fleet, scope) = (fleet(vec![server.spec("py")], config()), scope("acme"));
    let upstream = fleet.connect(&scope, &name("py")).await.unwrap();
    call(&*upstream, &scope, "forget", json!({})).await.unwrap();
    let calls = (0..8).map(|n| call(&*upstream, &scope, "echo", json!({ "text": n.to_string() })).boxed());
    for (n, reply) in futures_util::future::join_all(calls).await.into_iter().enumerate() {
        assert_eq!(reply.unwrap()["content"][0]["text"], n.to_string());
    }
    let seen = call(&*upstream, &scope, "headers", json!({})).await.unwrap();
    assert_eq!(seen["mcp-protocol-version"], "2025-11-25");
    assert!(seen["traceparent"].as_str().unwrap().contains(&format!("{:032x}", scope.trace().trace_id())));
    fleet.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn an_http_server_that_is_away_is_named_and_found_again() {
    let server = HttpServer::start("legacy");
    let (spec, scope) = (server.spec("py"), scope("acme"));
    drop(server);
    let fleet = fleet(vec![spec], config());
    let error = fleet.connect(&scope, &name("py")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Upstream);
    assert!(error.retry_after().is_some() && error.message().contains("`py`"), "{error:?}");
    fleet.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn nothing_of_one_tenant_reaches_another_through_a_server_they_share() {
    for http in [false, true] {
        let server = http.then(|| HttpServer::start("legacy"));
        let mut spec = server.as_ref().map_or_else(|| python("py", "legacy"), |server| server.spec("py"));
        spec.stateless = true;
        let fleet = fleet(vec![spec], config());
        let (acme, other) = (scope("acme"), scope("other"));
        let of_acme = fleet.connect(&acme, &name("py")).await.unwrap();
        let of_other = fleet.connect(&other, &name("py")).await.unwrap();
        let mut news = of_other.notices();
        let (ear, others) = (Ear::default(), Ear::default());
        let params = json!({ "name": "tell_all", "arguments": {}, "_meta": { "progressToken": "mine" } });
        let (params, late) = (to_raw_value(&params).unwrap(), json!({ "seconds": 0.5 }));
        let late = to_raw_value(&json!({ "name": "late", "arguments": late })).unwrap();
        let (reply, waited) = tokio::join!(
            of_acme.call(&acme, "tools/call", Some(&params), &ear),
            of_other.call(&other, "tools/call", Some(&late), &others)
        );
        assert_eq!(value(reply.unwrap())["refused"]["code"], -32601, "http: {http}");
        assert_eq!(value(waited.unwrap())["late"], true);
        assert!(ear.0.into_inner().unwrap().is_empty() && others.0.into_inner().unwrap().is_empty());
        let changed = news.recv().await.unwrap();
        assert!(&*changed.method == "notifications/tools/list_changed" && changed.params.is_none());
        assert!(news.try_recv().is_err());
        assert_eq!(fleet.status(&operator()).len(), 1);
        fleet.shutdown(Duration::ZERO).await;
    }
}

#[tokio::test]
async fn a_server_that_forgets_its_session_and_begins_none_is_given_up() {
    let server = HttpServer::start("legacy");
    let mut spec = server.spec("py");
    spec.timeout = Some(Duration::from_secs(1));
    let (fleet, scope) = (fleet(vec![spec], config()), scope("acme"));
    let upstream = fleet.connect(&scope, &name("py")).await.unwrap();
    call(&*upstream, &scope, "forget_and_hang", json!({})).await.unwrap();
    call(&*upstream, &scope, "echo", json!({})).await.unwrap_err();
    let mut news = upstream.notices();
    let ended = tokio::time::timeout(Duration::from_secs(10), news.recv()).await;
    assert!(ended.unwrap().is_err());
    tokio::time::timeout(Duration::from_secs(9), fleet.shutdown(Duration::ZERO)).await.unwrap();
}
