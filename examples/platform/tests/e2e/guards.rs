//! Limits, quotas and personal data, over HTTP.

use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{Method, StatusCode};
use mcp_core::key::Secret;
use serde_json::{Value, json};

use crate::support::{
    Served,
    api::{Caller, metrics, ready},
    database::{Database, on_every_database},
    fixture,
    http::{Answer, Attempt},
    redis::Redis,
};

on_every_database!(
    limits_of_principals_and_routes_take_from_all_or_none,
    a_tool_is_limited_under_each_of_its_names_and_others_are_not,
    tools_that_nobody_lists_share_a_limit,
    more_requests_at_once_than_a_tenant_may_run_are_refused_and_those_of_others_go_on,
    a_quota_of_tool_calls_is_counted_shown_and_reset,
    data_keys_are_shown_rotated_and_wrapped_anew,
);

fn fixtures(mark: &str) -> Value {
    json!({ "fixture": fixture(mark, &[]) })
}

/// A key of a principal of `acme`.
fn key(served: &Served, principal: &str) -> Secret<String> {
    let issued = served.command(&["key", "create", "acme", "--principal", principal]);
    Secret::new(issued["key"].as_str().unwrap().to_owned())
}

async fn call(url: &str, key: &Secret<String>, tool: &str, arguments: Value) -> Answer {
    let params = json!({ "name": tool, "arguments": arguments });
    Attempt::call(url, "tools/call", params).bearer(key.expose()).send().await
}

fn figure(answer: &Answer, name: &str) -> u64 {
    answer.headers[name].to_str().unwrap().parse().unwrap()
}

async fn limits_of_principals_and_routes_take_from_all_or_none(database: &Database) {
    let config =
        "[limits]\nprincipal_per_minute = 4\nroutes = [{ path = \"/api/v1/keys\", per_minute = 1 }]\n";
    let served = database.serve(&json!({}), config);
    served.tenant("acme");
    let (ann, bob) = (Caller::new(&served, &key(&served, "ann")), Caller::new(&served, &key(&served, "bob")));
    assert_eq!(ann.get("/keys").await.status, StatusCode::OK);
    for _ in 0..5 {
        let refused = ann.get("/keys").await;
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!((figure(&refused, "ratelimit-limit"), figure(&refused, "ratelimit-remaining")), (1, 0));
        assert!((1..=60).contains(&figure(&refused, "retry-after")), "{refused:?}");
    }
    // What the route refused took nothing from the principal, of whose four one is used.
    for left in [2, 1, 0] {
        let answer = ann.get("/servers").await;
        assert_eq!((answer.status, figure(&answer, "ratelimit-remaining")), (StatusCode::OK, left));
    }
    let refused = ann.get("/servers").await;
    assert_eq!((refused.status, figure(&refused, "ratelimit-limit")), (StatusCode::TOO_MANY_REQUESTS, 4));
    assert_eq!(bob.get("/servers").await.status, StatusCode::OK, "another principal has its own");
    assert_eq!(bob.get("/keys").await.status, StatusCode::TOO_MANY_REQUESTS, "the route's is the tenant's");
}

async fn a_tool_is_limited_under_each_of_its_names_and_others_are_not(database: &Database) {
    let config = "[limits]\ntools = { fixture__echo = 2 }\n";
    let served = database.serve(&fixtures("tools"), config);
    served.tenant("acme");
    let ann = key(&served, "ann");
    let message = json!({ "message": "hello" });
    assert_eq!(call(&served.url, &ann, "fixture__echo", message.clone()).await.status, StatusCode::OK);
    let of_server = format!("{}/fixture", served.url);
    assert_eq!(call(&of_server, &ann, "echo", message.clone()).await.status, StatusCode::OK);
    for (url, name) in [(&served.url, "fixture__echo"), (&of_server, "echo")] {
        let refused = call(url, &ann, name, message.clone()).await;
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{refused:?}");
        // The figures are the tool's, not those of the request, which was within its limits.
        assert_eq!((figure(&refused, "ratelimit-limit"), figure(&refused, "ratelimit-remaining")), (2, 0));
        assert!(figure(&refused, "retry-after") >= 1);
        assert_eq!(refused.json()["error"]["data"]["code"], "rate_limited");
    }
    assert_eq!(call(&served.url, &ann, "fixture__env", json!({})).await.status, StatusCode::OK);
}

async fn tools_that_nobody_lists_share_a_limit(database: &Database) {
    let served = database.serve(&fixtures("unlisted"), "[limits]\ntool_per_minute = 2\n");
    served.tenant("acme");
    let ann = key(&served, "ann");
    for n in 0..2 {
        let unknown = call(&served.url, &ann, &format!("fixture__no_such_{n}"), json!({})).await;
        assert_eq!(unknown.json()["error"]["code"], -32602, "{unknown:?}");
    }
    let refused = call(&served.url, &ann, "fixture__no_such_3", json!({})).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{refused:?}");
    assert_eq!(call(&served.url, &ann, "fixture__env", json!({})).await.status, StatusCode::OK);
}

async fn more_requests_at_once_than_a_tenant_may_run_are_refused_and_those_of_others_go_on(
    database: &Database,
) {
    let served = database.serve(&fixtures("at-once"), "[limits]\nrequests_at_once = 1\n");
    let (_, globex) = (served.tenant("acme"), served.tenant("globex"));
    let ann = key(&served, "ann");
    // The server runs, so that the call below finds it.
    assert_eq!(call(&served.url, &ann, "fixture__env", json!({})).await.status, StatusCode::OK);
    let slow = json!({ "name": "fixture__slow", "arguments": { "ms": 20_000 } });
    let in_flight = tokio::spawn(Attempt::call(&served.url, "tools/call", slow).bearer(ann.expose()).send());
    let began = Instant::now();
    // Once the server has it, it has its place.
    loop {
        let ready = ready(&served).await.json();
        if ready["servers"].as_array().unwrap().iter().any(|server| server["in_flight"] == 1) {
            break;
        }
        assert!(
            began.elapsed() < Duration::from_secs(10) && !in_flight.is_finished(),
            "the call does not arrive"
        );
    }
    let refused = Caller::new(&served, &ann).get("/servers").await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{refused:?}");
    assert_eq!(figure(&refused, "retry-after"), 1);
    assert_eq!(Caller::new(&served, &globex).get("/servers").await.status, StatusCode::OK);
    // The caller goes away, and its place is free again.
    in_flight.abort();
    let gone = Instant::now();
    while Caller::new(&served, &ann).get("/servers").await.status != StatusCode::OK {
        assert!(gone.elapsed() < Duration::from_secs(10), "the place stays taken");
    }
}

async fn a_quota_of_tool_calls_is_counted_shown_and_reset(database: &Database) {
    let served = database.serve(&fixtures("quota"), "");
    served.tenant("acme");
    let ann = key(&served, "ann");
    let operator = Caller::new(&served, &served.operator_key());
    let quotas = "/operator/tenants/acme/quotas";
    let set = async |amount: u64| {
        let body = json!({ "subject": "tenant", "meter": "tools.calls", "period": "day", "amount": amount });
        operator.attempt(Method::PUT, quotas).body(body.to_string()).send().await
    };
    let echo = async || call(&served.url, &ann, "fixture__echo", json!({ "message": "hello" })).await;
    assert_eq!(echo().await.status, StatusCode::OK);
    assert_eq!(set(2).await.status, StatusCode::OK);
    // A second until the change is seen at the latest; here at once.
    assert_eq!(echo().await.status, StatusCode::OK);
    let unknown = call(&served.url, &ann, "nowhere__echo", json!({})).await;
    assert_eq!(unknown.json()["error"]["code"], -32602, "{unknown:?}");
    assert_eq!(echo().await.status, StatusCode::OK);
    let refused = echo().await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{refused:?}");
    assert!(refused.json()["error"]["message"].as_str().unwrap().contains("tools.calls"), "{refused:?}");
    let usage = Caller::new(&served, &ann).get("/quotas").await.json();
    assert_eq!((&usage["items"][0]["used"], &usage["items"][0]["limit"]), (&json!(2), &json!(2)), "{usage}");
    assert_eq!(operator.get(quotas).await.json()["items"][0]["amount"], 2);
    let reset = operator.post(&format!("{quotas}/reset"), &json!({})).await;
    assert_eq!(reset.status, StatusCode::NO_CONTENT, "{reset:?}");
    assert_eq!(echo().await.status, StatusCode::OK);
    let which = format!("{quotas}?subject=tenant&meter=tools.calls&period=day");
    assert_eq!(operator.attempt(Method::DELETE, &which).send().await.status, StatusCode::NO_CONTENT);
    assert_eq!(operator.get(quotas).await.json()["items"], json!([]));
    assert_eq!(set(u64::MAX).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn personal_data_is_masked_in_results_where_an_operator_says_so() {
    let config = "[pii]\ntool_results = \"mask\"\ntenants = { globex = \"off\", initech = \"refuse\" }\n";
    let served = Served::start(&fixtures("pii"), config);
    let message = json!({ "message": "Write to ada@example.com, card 4111 1111 1111 1111" });
    let echo = async |tenant: &str| {
        call(&served.url, &served.tenant(tenant), "fixture__echo", message.clone()).await
    };
    let text = |answer: &Answer| String::from_utf8_lossy(&answer.body).into_owned();
    let masked = text(&echo("acme").await);
    assert!(masked.contains("[email]") && masked.contains("[card]"), "{masked}");
    assert!(!masked.contains("ada@example.com") && !masked.contains("4111"), "{masked}");
    let plain = text(&echo("globex").await);
    assert!(plain.contains("ada@example.com"), "{plain}");
    let refused = echo("initech").await;
    assert!(refused.json()["error"]["message"].is_string(), "{refused:?}");
    assert!(!text(&refused).contains("ada@example.com"), "{refused:?}");
}

/// The marks in the place of what was found in the text of an answer: `[email_…]`.
fn marks(answer: &Answer, kind: &str) -> Vec<String> {
    let (answer, begin) = (answer.json(), format!("[{kind}_"));
    let text = answer["result"]["content"][0]["text"].as_str().unwrap_or_default();
    text.split(&begin).skip(1).map(|rest| rest.split_once(']').unwrap().0.to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hashed_is_known_again_within_its_tenant_and_in_no_other() {
    let config = "[pii]\ntool_results = \"hash\"\nhash_key_file = \"pii.key\"\n";
    let mut served = Served::prepare(&fixtures("hashed"), config);
    std::fs::write(served.path().join("pii.key"), STANDARD.encode([7; 32])).unwrap();
    served.run();
    let (acme, globex) = (served.tenant("acme"), served.tenant("globex"));
    let echo = async |served: &Served, token: &Secret<String>, message: &str| {
        let answer = call(&served.url, token, "fixture__echo", json!({ "message": message })).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(!text.contains("example.com") && !text.contains("1111"), "{text}");
        answer
    };
    let first = echo(&served, &acme, "ada@example.com, then Ada@Example.com, then bob@example.com").await;
    let [ada, again, bob] = marks(&first, "email").try_into().unwrap();
    assert_eq!(ada, again, "one address, written in two ways");
    assert_ne!(ada, bob);
    let card = echo(&served, &acme, "4111 1111 1111 1111 or 4111-1111-1111-1111").await;
    let [card, same] = marks(&card, "card").try_into().unwrap();
    assert_eq!(card, same);
    let theirs = echo(&served, &globex, "ada@example.com, 4111 1111 1111 1111").await;
    assert_ne!(marks(&theirs, "email"), [ada.as_str()], "two tenants can compare what they know");
    assert_ne!(marks(&theirs, "card"), [card.as_str()]);

    // With the key in a file, by another process too.
    assert!(served.stop().success());
    served.run();
    let later = echo(&served, &acme, "to ada@example.com").await;
    assert_eq!(marks(&later, "email"), [ada]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_with_personal_data_that_a_tenant_refuses_is_a_clear_error_without_it() {
    let config = "[pii]\ntenants = { initech = \"refuse\" }\n";
    let served = Served::start(&fixtures("refused"), config);
    let (initech, acme) = (served.tenant("initech"), served.tenant("acme"));
    for (kind, value) in [
        ("email", "ada@example.com"),
        ("card", "4111 1111 1111 1111"),
        ("secret", "Bearer abcdefghijklmnopqrstuvwxyz012345"),
    ] {
        let message = json!({ "message": format!("it is {value}") });
        let refused = call(&served.url, &initech, "fixture__echo", message.clone()).await;
        let text = String::from_utf8_lossy(&refused.body).into_owned();
        assert!(!text.contains(value), "{text}");
        let error = &refused.json()["error"];
        let said = error["message"].as_str().unwrap();
        assert!(said.contains("withheld") && said.contains(kind), "{text}");
        assert_eq!(error["data"]["code"], "permission_denied", "{text}");
        // Nothing of it reached the caller's neighbour, who has no such policy.
        let plain = call(&served.url, &acme, "fixture__echo", message).await;
        assert!(String::from_utf8_lossy(&plain.body).contains(value), "{plain:?}");
    }
    let harmless = call(&served.url, &initech, "fixture__echo", json!({ "message": "it is sunny" })).await;
    assert!(String::from_utf8_lossy(&harmless.body).contains("it is sunny"), "{harmless:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_limits_in_redis_and_go_on_alone_when_it_dies() {
    let redis = Redis::start();
    let config = format!(
        "[limits]\nredis_url = \"{}\"\nredis_timeout_millis = 1000\nprincipal_per_minute = 3\n",
        redis.url()
    );
    let (one, two) = (Served::start(&json!({}), &config), Served::start(&json!({}), &config));
    let callers = [&one, &two].map(|served| {
        served.tenant("acme");
        Caller::new(served, &key(served, "ann"))
    });
    let mut allowed = 0;
    for n in 0..6 {
        let answer = callers[n % 2].get("/servers").await;
        allowed += u32::from(answer.status == StatusCode::OK);
    }
    assert_eq!(allowed, 3, "two replicas let one principal through as often as one");
    assert_eq!(ready(&one).await.json()["limiter"], json!({ "state": "ok" }));

    drop(redis);
    // Each for itself now, and still within the limit.
    for (served, caller) in [&one, &two].into_iter().zip(&callers) {
        let mut alone = 0;
        for _ in 0..6 {
            let answer = caller.get("/servers").await;
            assert!(matches!(answer.status, StatusCode::OK | StatusCode::TOO_MANY_REQUESTS), "{answer:?}");
            alone += u32::from(answer.status == StatusCode::OK);
        }
        assert_eq!(alone, 3);
        let ready = ready(served).await;
        assert_eq!((ready.status, &ready.json()["ready"]), (StatusCode::OK, &json!(true)));
        assert_eq!(ready.json()["limiter"]["state"], "degraded", "{ready:?}");
        assert!(metrics(served).await.contains("mcp_limiter_degraded 1"));
    }
}

async fn data_keys_are_shown_rotated_and_wrapped_anew(database: &Database) {
    let served = database.serve(&json!({}), "");
    served.tenant("acme");
    let operator = Caller::new(&served, &served.operator_key());
    let rotate = async || operator.post("/operator/tenants/acme/data-keys/rotate", &json!({})).await;
    // The signing key of the token above was sealed by the first.
    let second = rotate().await;
    assert_eq!((second.status, &second.json()["version"]), (StatusCode::CREATED, &json!(2)), "{second:?}");
    let shown = operator.get("/operator/data-keys").await.json();
    assert_eq!(shown["vault"]["state"], "up", "{shown}");
    assert_eq!(shown["wrapping_keys"][0]["data_keys"], 2, "{shown}");
    assert!(shown["wrapping_keys"][0]["name"].as_str().unwrap().starts_with("master:"), "{shown}");
    let again = operator.post("/operator/data-keys/rewrap", &json!({})).await.json();
    assert_eq!(
        (&again["tenants"], &again["rewrapped"], &again["failed"]),
        (&json!(1), &json!(0), &json!([]))
    );
    assert_eq!(
        operator.post("/operator/tenants/nobody/data-keys/rotate", &json!({})).await.status,
        StatusCode::NOT_FOUND
    );
    let tenants = Caller::new(&served, &served.token("acme"));
    assert_eq!(tenants.get("/operator/data-keys").await.status, StatusCode::UNAUTHORIZED);
}
