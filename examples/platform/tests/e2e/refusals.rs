//! What bad callers get, through the whole platform.

use std::time::{Duration, Instant};

use crate::support::{
    Served,
    bounded::{self, LIMIT},
    fixture,
    http::{Answer, Attempt},
    processes,
};
use http::{Method, StatusCode};
use serde_json::{Value, json};

fn served() -> Served {
    Served::start(&json!({ "fixture": fixture("refusals", &[]) }), "")
}

/// Without the date and what is left of a limit, which differ from answer to answer for no fault of ours.
fn timeless(mut answer: Answer) -> Answer {
    for name in ["date", "ratelimit-remaining", "ratelimit-reset"] {
        answer.headers.remove(name);
    }
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn no_or_bad_credentials_get_one_401_that_tells_nothing() {
    let served = served();
    let token = served.tenant("acme");
    let key = served.command(&["key", "create", "acme"]);
    let key = key["key"].as_str().unwrap();
    let (head, rest) = token.expose().split_once('.').unwrap();
    let list = || Attempt::list(&served.url);

    let nothing = timeless(list().send().await);
    assert_eq!(nothing.status, StatusCode::UNAUTHORIZED);
    assert!(nothing.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
    assert_eq!(nothing.headers["content-type"], "application/problem+json");

    let truncated = &token.expose()[..token.expose().len() - 1];
    let none_algorithm = format!("eyJhbGciOiJub25lIn0.{}.", rest.split('.').next().unwrap());
    // Whoever showed a credential is told that it is no good (RFC 6750 §3.1), and nothing else.
    let told = |answer: &Answer| answer.headers["www-authenticate"].to_str().unwrap().to_owned();
    let mut refused = nothing.clone();
    let challenge = format!("{}, error=\"invalid_token\"", told(&nothing));
    refused.headers.insert("www-authenticate", challenge.parse().unwrap());
    for bad in ["nonsense", truncated, head, &none_algorithm, &key[..key.len() - 1], "mcpk_x_y"] {
        assert_eq!(timeless(list().bearer(bad).send().await), refused, "{bad}");
    }
    let short = served.command(&["token", "issue", "acme", "--seconds", "1"]);
    let began = Instant::now();
    loop {
        let answer = list().bearer(short["access_token"].as_str().unwrap()).send().await;
        if answer.status == StatusCode::UNAUTHORIZED {
            assert_eq!(timeless(answer), refused, "an expired token");
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "an expired token goes on working");
    }
    for good in [token.expose().as_str(), key] {
        assert_eq!(list().bearer(good).send().await.status, StatusCode::OK);
    }
    served.command(&["key", "revoke", "acme", key.split('_').nth(1).unwrap()]);
    let began = Instant::now();
    while list().bearer(key).send().await.status != StatusCode::UNAUTHORIZED {
        assert!(began.elapsed() < Duration::from_secs(10), "a revoked key goes on working");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_id_gets_the_403_of_one_that_does_not_exist_and_is_audited_on_the_callers_side() {
    let served = served();
    let (acme, globex) = (served.tenant("acme"), served.tenant("globex"));
    let list = || Attempt::list(&served.url).bearer(acme.expose());

    let unknown = timeless(list().header("x-tenant-id", "no-such-tenant").send().await);
    assert_eq!(unknown.status, StatusCode::FORBIDDEN);
    for attempt in [
        list().header("x-tenant-id", "globex"),
        list().header("x-tenant-id", "acme").header("x-tenant-id", "globex"),
        list().header("x-tenant-id", "acme").header("x-tenant-id", "acme"),
        list().header("x_tenant_id", "globex"),
        list().header("x-tenant-id", "Globex"),
    ] {
        assert_eq!(timeless(attempt.clone().send().await), unknown, "{attempt:?}");
    }
    assert_eq!(list().header("x-tenant-id", "acme").send().await.status, StatusCode::OK);

    let api = served.url.replace("/mcp", "/api/v1");
    let tenant = |id: &str| Attempt::new(Method::GET, &format!("{api}/tenants/{id}")).bearer(acme.expose());
    assert_eq!(tenant("acme").send().await.status, StatusCode::OK);
    let foreign = timeless(tenant("globex").send().await);
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
    assert_eq!(foreign, timeless(tenant("no-such-tenant").send().await));

    let mut denials = Vec::new();
    let began = Instant::now();
    while denials.is_empty() {
        let log = Attempt::new(Method::GET, &format!("{api}/audit")).bearer(acme.expose()).send().await;
        assert_eq!(log.status, StatusCode::OK);
        denials = log.json()["items"].as_array().unwrap().clone();
        let of_path = denials.iter().any(|record| record["action"] == "api.denied");
        denials.retain(|record| of_path && record["action"] == "tenant.denied");
        assert!(began.elapsed() < Duration::from_secs(10), "the denials are not in the audit log");
    }
    let theirs = Attempt::new(Method::GET, &format!("{api}/audit")).bearer(globex.expose()).send().await;
    assert!(!theirs.json().to_string().contains("tenant.denied"), "the victim sees the attacker's denials");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_resource_id_answers_like_an_unknown_one() {
    let served = served();
    let (acme, _) = (served.tenant("acme"), served.tenant("globex"));
    let theirs = served.command(&["key", "create", "globex"]);
    let api = served.url.replace("/mcp", "/api/v1");
    let revoke = |id: &str| Attempt::new(Method::DELETE, &format!("{api}/keys/{id}")).bearer(acme.expose());

    let foreign = timeless(revoke(theirs["id"].as_str().unwrap()).send().await);
    assert_eq!(foreign.status, StatusCode::NOT_FOUND);
    let mut invented: Vec<char> = theirs["id"].as_str().unwrap().chars().collect();
    invented.reverse();
    let invented: String = invented.into_iter().collect();
    for id in [invented.as_str(), "k", "no%2Fsuch%20key"] {
        assert_eq!(timeless(revoke(id).send().await), foreign, "{id}");
    }
    let list = Attempt::list(&served.url).bearer(theirs["key"].as_str().unwrap());
    assert_eq!(list.send().await.status, StatusCode::OK, "the attempt revoked the key");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_in_a_body_is_refused_whether_it_exists_or_not() {
    let served = served();
    let (acme, globex) = (served.tenant("acme"), served.tenant("globex"));
    let post = async |path: &str, mut body: Value, tenant: &str| {
        body["tenant_id"] = tenant.into();
        let attempt = Attempt::new(Method::POST, &served.api(path)).bearer(acme.expose());
        timeless(attempt.body(body.to_string()).send().await)
    };
    for (path, body) in [
        ("/contexts", json!({ "data": {} })),
        ("/keys", json!({ "name": "k", "principal": "service", "permissions": ["tools:call"] })),
        ("/memories", json!({ "namespace": "user/ann", "text": "likes tea" })),
    ] {
        let foreign = post(path, body.clone(), "globex").await;
        assert_eq!(foreign.status, StatusCode::BAD_REQUEST, "{path}: {foreign:?}");
        assert!(String::from_utf8_lossy(&foreign.body).contains("tenant_id"), "{path}: {foreign:?}");
        // Nothing tells which tenants there are; not even one's own is taken.
        for tenant in ["nowhere1", "acme"] {
            assert_eq!(post(path, body.clone(), tenant).await, foreign, "{path}: {tenant}");
        }
    }
    for token in [&acme, &globex] {
        let list = Attempt::new(Method::GET, &served.api("/contexts")).bearer(token.expose()).send().await;
        assert_eq!(list.json()["items"], json!([]), "a context was made");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_gives_neither_what_its_creator_lacks_nor_another_name() {
    let served = served();
    served.tenant("acme");
    let limited = ["key", "create", "acme", "--principal", "ann", "--permission", "keys:write"];
    let ann = served.command(&limited);
    let api = served.url.replace("/mcp", "/api/v1/keys");
    let create = |principal: &str, permission: &str| {
        let body = json!({ "name": "new", "principal": principal, "permissions": [permission] });
        let attempt = Attempt::new(Method::POST, &api).bearer(ann["key"].as_str().unwrap());
        attempt.body(body.to_string()).send()
    };
    assert_eq!(create("ann", "keys:write").await.status, StatusCode::CREATED);
    assert_eq!(create("ann", "tools:call").await.status, StatusCode::FORBIDDEN);
    assert_eq!(create("bob", "keys:write").await.status, StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_tenant_is_refused_and_its_call_in_flight_ends() {
    let served = served();
    let (acme, globex) = (served.tenant("acme"), served.tenant("globex"));
    let slow = Attempt::call(
        &served.url,
        "tools/call",
        json!({ "name": "fixture__slow", "arguments": { "ms": 50_000 } }),
    );
    let list = |token: &str| Attempt::list(&served.url).bearer(token);
    // The server of the tenant runs, so that the call finds it.
    assert_eq!(list(globex.expose()).send().await.status, StatusCode::OK);
    let in_flight = tokio::spawn(slow.bearer(globex.expose()).send());
    let metrics = || Attempt::new(Method::GET, &format!("{}/metrics", served.operations)).send();
    let began = Instant::now();
    while !String::from_utf8_lossy(&metrics().await.body).contains("mcp_http_requests_in_flight 1") {
        assert!(began.elapsed() < Duration::from_secs(10), "the call does not arrive");
    }
    assert!(!in_flight.is_finished());

    served.command(&["tenant", "suspend", "globex"]);
    let suspended = Instant::now();
    while list(globex.expose()).send().await.status != StatusCode::FORBIDDEN {
        assert!(suspended.elapsed() < Duration::from_secs(10), "calls go on after the suspension");
    }
    let ended = in_flight.await.unwrap();
    assert!(suspended.elapsed() < Duration::from_secs(10), "the call in flight went on");
    assert!(!String::from_utf8_lossy(&ended.body).contains("\"result\""), "{ended:?}");
    assert_eq!(list(acme.expose()).send().await.status, StatusCode::OK);

    served.command(&["tenant", "resume", "globex"]);
    let resumed = Instant::now();
    while list(globex.expose()).send().await.status != StatusCode::OK {
        assert!(resumed.elapsed() < Duration::from_secs(10), "the tenant stays suspended");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_runs_on_for_a_suspended_tenant() {
    let mark = uuid::Uuid::new_v4().to_string();
    let served = Served::start(&json!({ "fixture": fixture(&mark, &[]) }), "");
    let (acme, globex) = (served.tenant("acme"), served.tenant("globex"));
    let list = |token: &str| Attempt::list(&served.url).bearer(token);
    assert_eq!(list(acme.expose()).send().await.status, StatusCode::OK);
    let of_acme = processes::marked(&mark);
    assert_eq!(list(globex.expose()).send().await.status, StatusCode::OK);
    let both = processes::marked(&mark).len();
    assert!(!of_acme.is_empty() && both > of_acme.len());

    served.command(&["tenant", "suspend", "globex"]);
    // Far less than the time after which an unused server is stopped.
    processes::eventually("the suspended tenant's server is stopped", Duration::from_secs(15), || {
        processes::marked(&mark) == of_acme
    });
    assert_eq!(list(acme.expose()).send().await.status, StatusCode::OK);

    served.command(&["tenant", "resume", "globex"]);
    let resumed = Instant::now();
    while list(globex.expose()).send().await.status != StatusCode::OK {
        assert!(resumed.elapsed() < Duration::from_secs(10), "the tenant stays suspended");
    }
    assert_eq!(processes::marked(&mark).len(), both);
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_messages_get_the_error_of_the_specification() {
    let served = served();
    let token = served.tenant("acme");
    let call =
        |method: &str, params: Value| Attempt::call(&served.url, method, params).bearer(token.expose());
    for (attempt, code) in [
        (call("tools/call", json!({ "name": "fixture__no_such_tool", "arguments": {} })), -32602),
        (call("tools/call", json!({ "name": "nowhere__echo", "arguments": {} })), -32602),
        (call("no/such/method", json!({})), -32601),
        (Attempt::list(&served.url).bearer(token.expose()).body("{"), -32700),
        (Attempt::list(&served.url).bearer(token.expose()).body("[]"), -32600),
        (
            Attempt::list(&served.url)
                .bearer(token.expose())
                .body(r#"{"jsonrpc":"1.0","id":1,"method":"x"}"#),
            -32600,
        ),
    ] {
        let answer = attempt.clone().send().await;
        assert_eq!(answer.json()["error"]["code"], code, "{attempt:?}: {answer:?}");
    }
    let large = Attempt::list(&served.url).bearer(token.expose()).body(vec![b' '; 4 * 1024 * 1024 + 1]);
    assert_eq!(large.send().await.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_upstream_hurts_only_its_own_callers() {
    let servers = json!({
        "hostile": fixture("hostile", &["--hostile"]),
        "calm": fixture("calm", &[]),
    });
    let mut served = Served::start(&servers, "[gateway]\ncall_timeout_seconds = 3\n");
    let (token, other) = (served.tenant("acme"), served.tenant("globex"));
    let call_as = |token: &str, name: &str, arguments: Value| {
        Attempt::call(&served.url, "tools/call", json!({ "name": name, "arguments": arguments }))
            .bearer(token)
    };
    let call = |name: &str, arguments: Value| call_as(token.expose(), name, arguments);
    let calm = async |token: &str, tool: &str| {
        let calm = call_as(token, "calm__echo", json!({ "message": "still here" })).send().await;
        assert!(String::from_utf8_lossy(&calm.body).contains("still here"), "{tool}: {calm:?}");
    };
    // Running, so that what is measured below is the call alone: one that starts over refuses at once.
    let runs = async || {
        let began = Instant::now();
        loop {
            let echo = call("hostile__echo", json!({ "message": "it runs" })).send().await;
            if String::from_utf8_lossy(&echo.body).contains("it runs") {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "it is not started again: {echo:?}");
        }
    };
    calm(token.expose(), "first").await;
    calm(other.expose(), "first").await;
    for (tool, arguments, within) in [
        ("hostile__crash", json!({}), 30),
        ("hostile__hang", json!({}), 10),
        ("hostile__garbage", json!({}), 30),
        ("hostile__long_line", json!({ "bytes": 100_000_000 }), 30),
    ] {
        runs().await;
        let began = Instant::now();
        let hostile = tokio::spawn(call(tool, arguments).send());
        // Meanwhile, for another tenant too.
        calm(other.expose(), tool).await;
        let hangs = tool == "hostile__hang";
        assert!(!hangs || !hostile.is_finished(), "nothing hung while the other tenant called");
        let answer = hostile.await.unwrap();
        let took = began.elapsed();
        assert!(took < Duration::from_secs(within), "{tool} held its caller for {took:?}");
        assert!(!hangs || took >= Duration::from_secs(2), "{tool} was refused, not waited for: {answer:?}");
        let text = String::from_utf8_lossy(&answer.body);
        // Garbage beside an answer may be survived; whatever fails names the server.
        let survived = tool == "hostile__garbage" && answer.json().get("result").is_some();
        let names_it = answer.json().get("error").is_some() && text.contains("\"server\":\"hostile\"");
        assert!(survived || names_it, "{tool}: {text}");
        calm(token.expose(), tool).await;
    }
    runs().await;
    served.stop();
    assert!(crate::support::processes::marked("hostile").is_empty());
}

#[test]
fn mistakes_in_files_are_refused_at_start_with_their_place() {
    let directory = tempfile::tempdir().unwrap();
    let serve = |config: &str, servers: &str| {
        std::fs::write(directory.path().join("mcp-platform.toml"), config).unwrap();
        std::fs::write(directory.path().join(".mcp.json"), servers).unwrap();
        let mut command = crate::support::binary();
        let done = bounded::output(command.arg("serve").current_dir(directory.path()), LIMIT);
        assert!(!done.status.success());
        String::from_utf8(done.stderr).unwrap()
    };
    let good = r#"{ "mcpServers": {} }"#;
    let said = serve("[server]\nlisten_on = \"127.0.0.1:0\"\n", good);
    assert!(
        said.contains("mcp-platform.toml:2:1: unknown key `listen_on`; did you mean `listen`?"),
        "{said}"
    );
    let said = serve("[server]\ndrain_seconds = \"soon\"\n", good);
    assert!(said.contains("mcp-platform.toml:2:"), "{said}");
    let said = serve("", "{ \"mcpServers\": {\n  \"a\": { \"comand\": \"x\" } } }");
    assert!(said.contains(".mcp.json:2:") && said.contains("did you mean `command`?"), "{said}");
    let said = serve("", "{ \"mcpServers\": {\n  \"a\": { \"command\": 7 } } }");
    assert!(said.contains(".mcp.json:2:"), "{said}");
}
