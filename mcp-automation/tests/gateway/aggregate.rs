//! Several servers as one.

use std::{sync::atomic::Ordering, time::Duration};

use mcp_automation::{
    gateway::{GatewayConfig, PrefixMode},
    protocol::{ProtocolVersion, ServerName},
};
use serde_json::{Value, json};

use crate::support::{TestServer, bench, bench_with};

fn server(name: &str, tools: &[&str]) -> TestServer {
    TestServer::new(name, ProtocolVersion::V2025_11_25, tools)
}

fn names(list: &Value) -> Vec<&str> {
    list["result"]["tools"].as_array().unwrap().iter().map(|tool| tool["name"].as_str().unwrap()).collect()
}

fn mode(prefix: PrefixMode) -> GatewayConfig {
    GatewayConfig { prefix, ..GatewayConfig::default() }
}

#[tokio::test]
async fn prefixes_only_where_names_clash() {
    let servers = vec![server("a", &["echo", "only_a"]), server("b", &["echo", "only_b"])];
    let bench = bench_with(mode(PrefixMode::Conflict), servers);
    let client = bench.ann().initialize(json!({})).await;
    assert_eq!(names(&client.rpc("tools/list", json!({})).await), ["a__echo", "only_a", "b__echo", "only_b"]);
    let answer = client.rpc("tools/call", json!({"name": "only_b"})).await;
    assert_eq!(answer["result"]["content"][0]["text"], "only_b of b");
    // The prefixed form always works, so that a name stays good when a clash comes up.
    let answer = client.rpc("tools/call", json!({"name": "b__only_b"})).await;
    assert_eq!(answer["result"]["content"][0]["text"], "only_b of b");
    let error = &client.rpc("tools/call", json!({"name": "echo"})).await["error"];
    assert_eq!(error["code"], -32602);
}

#[tokio::test]
async fn without_prefixes_a_clash_is_told_and_never_guessed() {
    let servers = vec![server("a", &["echo", "only_a"]), server("b", &["echo"])];
    let bench = bench_with(mode(PrefixMode::Never), servers);
    let client = bench.ann().initialize(json!({})).await;
    let list = client.rpc("tools/list", json!({})).await;
    assert_eq!(names(&list), ["only_a"]);
    assert_eq!(
        list["result"]["_meta"]["io.mcp-platform/conflicts"],
        json!([{"name": "echo", "servers": ["a", "b"]}])
    );
    let error = &client.rpc("tools/call", json!({"name": "echo"})).await["error"];
    assert_eq!(error["data"]["servers"], json!(["a", "b"]));
    assert!(bench.server("acme", "a").calls_of("tools/call").is_empty());
}

#[tokio::test]
async fn a_server_whose_name_begins_like_anothers_is_told_apart() {
    let bench = bench(vec![server("a", &["_b"]), server("a_", &["b", "c"])]);
    let client = bench.ann().initialize(json!({})).await;
    let list = client.rpc("tools/list", json!({})).await;
    assert_eq!(names(&list), ["a___c"]);
    assert_eq!(list["result"]["_meta"]["io.mcp-platform/conflicts"][0]["servers"], json!(["a", "a_"]));
    let answer = client.rpc("tools/call", json!({"name": "a___c"})).await;
    assert_eq!(answer["result"]["content"][0]["text"], "c of a_");
    assert_eq!(client.rpc("tools/call", json!({"name": "a___b"})).await["error"]["code"], -32602);
}

#[tokio::test]
async fn pages_cover_every_item_once() {
    let tools: Vec<String> = (0..25).map(|n| format!("t{n}")).collect();
    let tools: Vec<&str> = tools.iter().map(String::as_str).collect();
    let mut servers = vec![server("a", &tools), server("b", &tools[..3]), server("c", &[])];
    servers[0].page = 4;
    let config = GatewayConfig { page_size: 10, ..GatewayConfig::default() };
    let bench = bench_with(config, servers);
    let client = bench.ann().initialize(json!({})).await;
    let (mut all, mut cursor, mut pages) = (Vec::new(), None, 0);
    loop {
        let params = cursor.as_ref().map_or(json!({}), |cursor| json!({"cursor": cursor}));
        let list = client.rpc("tools/list", params).await;
        all.extend(names(&list).into_iter().map(str::to_owned));
        pages += 1;
        match list["result"].get("nextCursor") {
            Some(next) => cursor = Some(next.clone()),
            None => break,
        }
    }
    let expected: Vec<String> =
        (0..25).map(|n| format!("a__t{n}")).chain((0..3).map(|n| format!("b__t{n}"))).collect();
    assert_eq!((all, pages), (expected, 3));
    // A cursor is a place in one list, for whoever has that list.
    let cursor = cursor.unwrap();
    assert_eq!(client.rpc("prompts/list", json!({"cursor": cursor})).await["error"]["code"], -32602);
    bench.add("umbrella", vec![server("z", &["t1"])]);
    let stranger = bench.client("umbrella", "u", &["*"]).initialize(json!({})).await;
    assert_eq!(stranger.rpc("tools/list", json!({"cursor": cursor})).await["error"]["code"], -32602);
}

#[tokio::test]
async fn a_server_that_is_down_leaves_the_others_list() {
    let bench = bench(vec![server("a", &["echo"])]);
    bench.fleet.down.lock().unwrap().push(ServerName::parse("dead").unwrap());
    let client = bench.ann().initialize(json!({})).await;
    let list = client.rpc("tools/list", json!({})).await;
    assert_eq!(names(&list), ["a__echo"]);
    let missing = &list["result"]["_meta"]["io.mcp-platform/unavailable"][0];
    assert_eq!(missing["server"], "dead");
    assert!(missing["reason"].as_str().unwrap().contains("does not start"));
    let error = &client.rpc("tools/call", json!({"name": "unknown"})).await["error"];
    assert_eq!(error["data"]["unavailable"], json!(["dead"]));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_holds_a_list_up_once() {
    let bench = bench(vec![server("a", &["echo"]), server("b", &["echo"])]);
    let client = bench.ann().initialize(json!({})).await;
    bench.server("acme", "b").hangs.store(true, Ordering::SeqCst);
    let started = tokio::time::Instant::now();
    for _ in 0..5 {
        let list = client.rpc("tools/list", json!({})).await;
        assert_eq!(names(&list), ["a__echo"]);
        assert_eq!(list["result"]["_meta"]["io.mcp-platform/unavailable"][0]["server"], "b");
    }
    assert!(started.elapsed() < Duration::from_secs(16), "{:?}", started.elapsed());
    bench.server("acme", "b").hangs.store(false, Ordering::SeqCst);
    bench.clock.advance(Duration::from_secs(3));
    assert_eq!(names(&client.rpc("tools/list", json!({})).await), ["a__echo", "b__echo"]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_does_not_hold_up_calls_to_the_others() {
    for prefix in [PrefixMode::Never, PrefixMode::Conflict] {
        let servers = vec![server("a", &["echo", "only_a"]), server("b", &["echo", "only_b"])];
        let bench = bench_with(mode(prefix), servers);
        let client = bench.ann().initialize(json!({})).await;
        for kind in ["tools/list", "resources/list", "resources/templates/list"] {
            client.rpc(kind, json!({})).await;
        }
        let b = bench.server("acme", "b");
        b.hangs.store(true, Ordering::SeqCst);
        b.change_tools(&["echo", "only_b"]);
        // The first time b's list is old, the second time that of a too.
        for _ in 0..2 {
            let started = tokio::time::Instant::now();
            let mut calls = vec![("only_a", "only_a of a")];
            if prefix == PrefixMode::Conflict {
                calls.push(("a__only_a", "only_a of a"));
            }
            for (name, text) in calls {
                let answer = client.rpc("tools/call", json!({"name": name})).await;
                assert_eq!(answer["result"]["content"][0]["text"], text, "{name} {prefix:?}");
            }
            for uri in ["test://a/static", "test://a/item/9"] {
                let answer = client.rpc("resources/read", json!({"uri": uri})).await;
                assert_eq!(answer["result"]["contents"][0]["text"], "a");
            }
            assert!(started.elapsed() < Duration::from_secs(1), "{prefix:?} {:?}", started.elapsed());
            bench.clock.advance(Duration::from_secs(60));
        }
    }
}

#[tokio::test]
async fn a_tool_that_moved_is_found_at_its_new_server() {
    let bench = bench_with(mode(PrefixMode::Never), vec![server("a", &["moves"]), server("b", &[])]);
    let client = bench.ann().initialize(json!({})).await;
    client.rpc("tools/list", json!({})).await;
    bench.server("acme", "a").change_tools(&[]);
    bench.server("acme", "b").change_tools(&["moves"]);
    let answer = client.rpc("tools/call", json!({"name": "moves"})).await;
    assert_eq!(answer["result"]["content"][0]["text"], "moves of b");
}

#[tokio::test(start_paused = true)]
async fn a_caller_in_a_hurry_does_not_speak_for_others() {
    let bench = bench(vec![server("a", &["echo"]), server("b", &["echo"])]);
    let client = bench.ann().initialize(json!({})).await;
    let mut hurried = client.clone();
    hurried.scope = hurried.scope.with_deadline(std::time::Instant::now() + Duration::from_millis(200));
    bench.server("acme", "b").hangs.store(true, Ordering::SeqCst);
    assert_eq!(names(&hurried.rpc("tools/list", json!({})).await), ["a__echo"]);
    bench.server("acme", "b").hangs.store(false, Ordering::SeqCst);
    assert_eq!(names(&client.rpc("tools/list", json!({})).await), ["a__echo", "b__echo"]);
}

#[tokio::test]
async fn lists_are_kept_until_they_change_or_grow_old() {
    let bench = bench(vec![server("a", &["echo"])]);
    let upstream = bench.server("acme", "a");
    let client = bench.ann().initialize(json!({})).await;
    for _ in 0..3 {
        client.rpc("tools/list", json!({})).await;
    }
    assert_eq!(upstream.calls_of("tools/list").len(), 1);
    upstream.change_tools(&["echo", "new"]);
    assert_eq!(names(&client.rpc("tools/list", json!({})).await), ["a__echo", "a__new"]);
    assert_eq!(upstream.calls_of("tools/list").len(), 2);
    *upstream.tools.lock().unwrap() = vec!["silently".to_owned()];
    assert_eq!(names(&client.rpc("tools/list", json!({})).await), ["a__echo", "a__new"]);
    bench.clock.advance(Duration::from_secs(60));
    assert_eq!(names(&client.rpc("tools/list", json!({})).await), ["a__silently"]);
    // Another connection may be another release.
    bench.add("acme", vec![server("a", &["after_restart"])]);
    assert_eq!(names(&client.rpc("tools/list", json!({})).await), ["a__after_restart"]);
}

#[tokio::test]
async fn many_askers_make_one_list() {
    let bench = bench(vec![server("a", &["echo"])]);
    let client = bench.ann().initialize(json!({})).await;
    let asked = (0..20).map(|id| {
        let client = client.clone();
        let body = json!({"jsonrpc": "2.0", "id": id, "method": "tools/list"}).to_string();
        async move { client.post(body).await.status() }
    });
    assert!(futures_util::future::join_all(asked).await.iter().all(|status| status.is_success()));
    assert_eq!(bench.server("acme", "a").calls_of("tools/list").len(), 1);
}

#[tokio::test]
async fn resources_prompts_and_completions_find_their_owner() {
    let mut servers = vec![server("a", &[]), server("b", &[])];
    for shared in &mut servers {
        shared.resources.push("test://shared".to_owned());
    }
    let bench = bench(servers);
    let client = bench.ann().initialize(json!({})).await;
    for (uri, owner) in [("test://b/static", "b"), ("test://a/item/9", "a")] {
        let answer = client.rpc("resources/read", json!({"uri": uri})).await;
        assert_eq!(answer["result"]["contents"][0]["text"], owner);
        assert_eq!(answer["result"]["contents"][0]["uri"], uri);
    }
    let error = &client.rpc("resources/read", json!({"uri": "test://shared"})).await["error"];
    assert_eq!(error["data"]["servers"], json!(["a", "b"]));
    let answer = client.rpc("prompts/get", json!({"name": "b__greet"})).await;
    assert_eq!(answer["result"]["description"], "greet");
    let reference =
        json!({"ref": {"type": "ref/prompt", "name": "b__greet"}, "argument": {"name": "x", "value": ""}});
    let answer = client.rpc("completion/complete", reference).await;
    assert_eq!(answer["result"]["completion"]["values"], json!(["greet"]));
    let reference = json!({"ref": {"type": "ref/resource", "uri": "test://a/item/{id}"}, "argument": {}});
    client.rpc("completion/complete", reference).await;
    assert_eq!(bench.server("acme", "a").calls_of("completion/complete").len(), 1);
}

#[tokio::test]
async fn a_template_is_no_owner_before_the_lists_were_seen() {
    let mut servers = vec![server("a", &[]), server("b", &[])];
    servers[0].templates.push("test://b/{id}".to_owned());
    let bench = bench(servers);
    let client = bench.ann().initialize(json!({})).await;
    client.rpc("resources/templates/list", json!({})).await;
    for _ in 0..2 {
        let answer = client.rpc("resources/read", json!({"uri": "test://b/static"})).await;
        assert_eq!(answer["result"]["contents"][0]["text"], "b");
    }
}

#[tokio::test]
async fn a_server_with_too_many_tools_is_left_out_and_named() {
    let tools: Vec<String> = (0..60).map(|n| format!("t{n}")).collect();
    let tools: Vec<&str> = tools.iter().map(String::as_str).collect();
    let config = GatewayConfig { list_items: 50, ..GatewayConfig::default() };
    let bench = bench_with(config, vec![server("many", &tools), server("few", &["echo"])]);
    let client = bench.ann().initialize(json!({})).await;
    let list = client.rpc("tools/list", json!({})).await;
    assert_eq!(names(&list), ["few__echo"]);
    let missing = &list["result"]["_meta"]["io.mcp-platform/unavailable"][0];
    assert!(missing["reason"].as_str().unwrap().contains("more than 50 tools"), "{missing}");
}
