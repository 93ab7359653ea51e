//! Chats through the server, as the official OpenAI client sees them: whole and streamed, with good providers,
//! bad ones, and none.

use std::{fmt::Write as _, net::TcpListener, process::Command};

use http::{Method, StatusCode};
use mcp_core::key::Secret;
use serde_json::{Value, json};

use crate::{
    scripted::{ECHO, Scripted},
    support::{
        Served,
        bounded::{self, LONG},
        http::Attempt,
        tools,
    },
};

/// Makes calls with the official client; prints what became of each.
const CLIENT: &str = r#"
import json, os, sys
import openai

client = openai.OpenAI(base_url=sys.argv[1], api_key=os.environ["KEY"], max_retries=0, timeout=30)
messages = [{"role": "user", "content": "hello there"}]
done = []
for how, model in json.loads(sys.argv[2]):
    said = {"text": ""}
    try:
        if how == "whole":
            answer = client.chat.completions.create(model=model, messages=messages)
            said = {"text": answer.choices[0].message.content, "tokens": answer.usage.total_tokens}
        elif how == "models":
            said = {"models": [model.id for model in client.models.list()]}
        else:
            options = {"include_usage": True}
            for chunk in client.chat.completions.create(model=model, messages=messages, stream=True, stream_options=options):
                if chunk.choices:
                    said["text"] += chunk.choices[0].delta.content or ""
                if chunk.usage:
                    said["tokens"] = chunk.usage.total_tokens
    except openai.APIError as error:
        said["error"] = type(error).__name__
        said["message"] = error.message
    done.append(said)
print(json.dumps(done))
"#;

const ANSWER: &str = "[scripted] You said: hello there";

/// The scripted models that fail, each in the way it is called.
const FAULTS: [&str; 9] = [
    "busy",
    "broken",
    "error-inside",
    "garbage",
    "wrong-type",
    "over-long",
    "half-an-answer",
    "wrong-key",
    "silent",
];

/// What the official client gets for these calls.
fn call(served: &Served, key: &str, calls: &[(&str, &str)]) -> Vec<Value> {
    let mut client = Command::new(tools().join("openai/bin/python"));
    client.args(["-c", CLIENT, &v1(served), &json!(calls).to_string()]).env("KEY", key);
    let done = bounded::output(&mut client, LONG);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

fn v1(served: &Served) -> String {
    served.url.replace("/mcp", "/v1")
}

fn provider(config: &mut String, name: &str, base_url: &str) {
    let _ = writeln!(
        config,
        "[[providers]]\nname = {name:?}\nbase_url = {base_url:?}\nfirst_byte_timeout_seconds = 1\n\
         idle_timeout_seconds = 1"
    );
}

fn route(config: &mut String, model: &str, chain: &[(&str, &str)]) {
    let chain: Vec<String> =
        chain.iter().map(|(at, model)| format!("{{ provider = {at:?}, model = {model:?} }}")).collect();
    let _ = writeln!(config, "[[routes]]\nmodel = {model:?}\nchain = [{}]", chain.join(", "));
}

async fn metrics(served: &Served) -> String {
    let answer = Attempt::new(Method::GET, &format!("{}/metrics", served.operations)).send().await;
    String::from_utf8_lossy(&answer.body).into_owned()
}

/// Where nobody listens.
fn nowhere() -> String {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("http://127.0.0.1:{port}/v1")
}

/// A platform with a live provider behind a dead one, and each fault in front of the live one and alone.
struct World {
    served: Served,
    _providers: Vec<Scripted>,
}

impl World {
    async fn start() -> Self {
        let live = Scripted::start().await.unwrap();
        let mut config = String::new();
        provider(&mut config, "live", &live.base_url());
        provider(&mut config, "dead", &nowhere());
        route(&mut config, "assistant", &[("dead", ECHO), ("live", ECHO)]);
        route(&mut config, "cut", &[("live", "half-a-stream"), ("dead", ECHO)]);
        route(&mut config, "none", &[("dead", ECHO), ("broken", "broken")]);
        route(&mut config, "lost", &[("live", "no-such-model"), ("dead", ECHO)]);
        let mut providers = vec![live];
        for fault in FAULTS {
            // One server each: to be busy holds for all that a server has.
            let server = Scripted::start().await.unwrap();
            provider(&mut config, fault, &server.base_url());
            route(&mut config, &format!("with-{fault}"), &[(fault, fault), ("live", ECHO)]);
            providers.push(server);
        }
        Self { served: Served::start(&json!({}), &config), _providers: providers }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_client_chats_and_streams_past_a_dead_provider() {
    let mut world = World::start().await;
    let tokens = [world.served.tenant("acme"), world.served.tenant("globex")];
    for token in &tokens {
        let got = call(&world.served, token.expose(), &[("whole", "assistant"), ("stream", "assistant")]);
        for said in &got {
            assert_eq!(said["text"], ANSWER, "{said}");
            assert!(said["tokens"].as_u64().unwrap() > 0 && said.get("error").is_none(), "{said}");
        }
    }
    let metrics = metrics(&world.served).await;
    for counted in [
        "mcp_chat_attempts_total{provider=\"live\",model=\"echo\",outcome=\"ok\"} 4",
        "mcp_chat_requests_total{model=\"assistant\",outcome=\"ok\"} 4",
        "mcp_chat_fallbacks_total{model=\"assistant\"} 4",
        "mcp_chat_tokens_total{provider=\"live\"",
    ] {
        assert!(metrics.contains(counted), "{counted} is not in {metrics}");
    }
    assert!(!metrics.contains("acme"), "a tenant's name is in the metrics");
    assert!(world.served.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_falls_back_from_every_fault() {
    for how in ["whole", "stream"] {
        let world = World::start().await;
        let token = world.served.tenant("acme");
        let models: Vec<String> = FAULTS.iter().map(|fault| format!("with-{fault}")).collect();
        let calls: Vec<(&str, &str)> = models.iter().map(|model| (how, model.as_str())).collect();
        for (said, model) in call(&world.served, token.expose(), &calls).iter().zip(&models) {
            assert_eq!((&said["text"], said.get("error")), (&json!(ANSWER), None), "{how} {model}: {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_those_of_the_official_client() {
    let world = World::start().await;
    let token = world.served.tenant("acme");
    let got = call(
        &world.served,
        token.expose(),
        &[("whole", "none"), ("whole", "asistant"), ("stream", "cut"), ("whole", "lost"), ("models", "")],
    );
    let message = |index: usize| got[index]["message"].as_str().unwrap();
    assert_eq!(got[0]["error"], "InternalServerError");
    for named in ["dead/echo: the provider `dead` cannot be reached", "broken/broken", "HTTP status 500"] {
        assert!(message(0).contains(named), "{named:?} is not in {}", message(0));
    }
    assert!(!message(0).contains("scripted defect"), "a provider's body reached the caller: {}", message(0));
    assert_eq!(got[1]["error"], "NotFoundError");
    assert!(message(1).contains("did you mean `assistant`?"), "{}", message(1));
    // What had been said stays said; nobody else goes on.
    assert_eq!((&got[2]["error"], &got[2]["text"]), (&json!("APIError"), &json!("[scripted] You ")));
    assert_eq!(got[3]["error"], "NotFoundError");
    assert!(got[4]["models"].as_array().unwrap().contains(&json!("assistant")), "{}", got[4]);

    let stranger = call(&world.served, "mcp_wrong", &[("whole", "assistant"), ("stream", "assistant")]);
    assert!(stranger.iter().all(|said| said["error"] == "AuthenticationError"), "{stranger:?}");
    let poor = world.served.command(&["key", "create", "acme", "--permission", "tools:call"]);
    let poor = Secret::new(poor["key"].as_str().unwrap().to_owned());
    let refused = call(&world.served, poor.expose(), &[("whole", "assistant"), ("models", "")]);
    assert!(refused.iter().all(|said| said["error"] == "PermissionDeniedError"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_request_is_refused_in_openais_form_before_anybody_is_asked() {
    let world = World::start().await;
    let token = world.served.tenant("acme");
    let url = format!("{}/chat/completions", v1(&world.served));
    for (body, param) in [
        (json!({ "messages": [] }), json!("model")),
        (json!({ "model": "assistant" }), json!("messages")),
        (json!({ "model": "assistant", "messages": [{ "content": "x" }] }), json!("messages[0]")),
        (json!([]), Value::Null),
    ] {
        let answer =
            Attempt::new(Method::POST, &url).bearer(token.expose()).body(body.to_string()).send().await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        let error = &answer.json()["error"];
        assert_eq!((&error["type"], &error["param"]), (&json!("invalid_request_error"), &param), "{error}");
        assert!(!error["message"].as_str().unwrap().is_empty());
    }
    let large = format!(r#"{{"model":"assistant","messages":["{}"]}}"#, "x".repeat(16 << 20));
    let answer = Attempt::new(Method::POST, &url).bearer(token.expose()).body(large).send().await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(!metrics(&world.served).await.contains("mcp_chat_attempts_total{"), "a provider was asked");
}

#[test]
fn a_configuration_that_cannot_work_is_named_at_start() {
    let near = "[[providers]]\nname = \"near\"\nbase_url = \"http://127.0.0.1:1/v1\"\n";
    for (config, wanted) in [
        (
            format!("{near}[[routes]]\nmodel = \"a\"\nchain = [{{ provider = \"naer\", model = \"m\" }}]\n"),
            "the route `a` names the unknown provider `naer`; did you mean `near`?",
        ),
        (near.replace("http:", "ftp:"), "base_url must begin with http:// or https://"),
        (format!("{near}api_key = \"${{NO_SUCH_KEY}}\"\n"), "the environment has no NO_SUCH_KEY"),
        (format!("{near}api_key = \"sk-1234\"\n"), "api_key must be ${VARIABLE}"),
        (format!("{near}api_key_file = \"missing\"\n"), "cannot read api_key_file missing"),
        (format!("{near}first_byte_timeout_seconds = 0\n"), "a limit of 0"),
    ] {
        let served = Served::prepare(&json!({}), &config);
        let done = served.try_command(&["serve"]);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!done.status.success());
        assert!(said.contains(wanted), "{wanted:?} is not in {said}");
        assert!(!said.contains("sk-1234"), "{said}");
    }
}
