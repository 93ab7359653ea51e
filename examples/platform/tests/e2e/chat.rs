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
    providers: Vec<Scripted>,
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
        Self { served: Served::start(&json!({}), &config), providers }
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

/// Quotas of `acme` that nothing here exceeds, and what was used of them.
struct Metered {
    world: World,
    operator: Secret<String>,
    token: Secret<String>,
}

impl Metered {
    async fn start() -> Self {
        let mut world = World::start().await;
        let base = world.providers[0].base_url();
        let mut config = String::new();
        provider(&mut config, "metered", &base);
        for model in [ECHO, "untold", "never-ending", "half-a-stream", "broken"] {
            route(&mut config, model, &[("metered", model)]);
        }
        world.served = Served::start(&json!({}), &config);
        let (operator, token) = (world.served.operator_key(), world.served.tenant("acme"));
        let metered = Self { world, operator, token };
        for meter in ["models.calls", "chat.tokens"] {
            metered.set(meter, 1_000_000).await;
        }
        metered
    }

    async fn set(&self, meter: &str, amount: u64) {
        let limit = json!({ "subject": "tenant", "meter": meter, "period": "month", "amount": amount });
        let url = self.world.served.api("/operator/tenants/acme/quotas");
        let set = Attempt::new(Method::PUT, &url).bearer(self.operator.expose()).body(limit.to_string());
        assert_eq!(set.send().await.status, StatusCode::OK);
    }

    /// Calls and tokens.
    async fn used(&self) -> (u64, u64) {
        let url = self.world.served.api("/operator/tenants/acme/usage");
        let usage = Attempt::new(Method::GET, &url).bearer(self.operator.expose()).send().await.json();
        let of = |meter: &str| {
            let items = usage["items"].as_array().unwrap();
            items.iter().find(|item| item["meter"] == meter).unwrap()["used"].as_u64().unwrap()
        };
        (of("models.calls"), of("chat.tokens"))
    }

    /// A chat that reserves `max_tokens` and 8 tokens for what is said.
    fn chat(&self, model: &str, stream: bool, max_tokens: u64) -> Attempt {
        let body = json!({
            "model": model, "stream": stream, "max_tokens": max_tokens,
            "messages": [{ "role": "user", "content": "hi" }],
        });
        let url = format!("{}/chat/completions", v1(&self.world.served));
        Attempt::new(Method::POST, &url).bearer(self.token.expose()).body(body.to_string())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn chats_are_counted_by_what_they_came_to_on_every_way_out() {
    const SAID: u64 = 8;
    let metered = Metered::start().await;
    let (mut calls, mut tokens) = (0, 0);
    // The prompt is a message, the answer is its words.
    for (model, stream, status, more) in [
        (ECHO, false, StatusCode::OK, (1, 1 + 4)),
        (ECHO, true, StatusCode::OK, (1, 1 + 4)),
        // Nobody says what it came to.
        ("untold", false, StatusCode::OK, (1, SAID + 100)),
        ("half-a-stream", true, StatusCode::OK, (1, SAID + 100)),
        // Nobody answered.
        ("broken", false, StatusCode::BAD_GATEWAY, (0, 0)),
        ("broken", true, StatusCode::BAD_GATEWAY, (0, 0)),
        ("no-such-model", false, StatusCode::NOT_FOUND, (0, 0)),
    ] {
        let answer = metered.chat(model, stream, 100).send().await;
        assert_eq!(answer.status, status, "{model}: {answer:?}");
        (calls, tokens) = (calls + more.0, tokens + more.1);
        assert_eq!(metered.used().await, (calls, tokens), "{model}, stream: {stream}");
    }
    // The caller leaves in the middle: what was reserved is not given back.
    let leaving = tokio::spawn(metered.chat("never-ending", true, 5000).send());
    let began = std::time::Instant::now();
    while metered.used().await != (calls + 1, tokens + SAID + 5000) {
        assert!(began.elapsed() < std::time::Duration::from_secs(30), "{:?}", metered.used().await);
    }
    leaving.abort();
    assert!(leaving.await.unwrap_err().is_cancelled());
    let after = metered.chat(ECHO, false, 100).send().await;
    assert_eq!(after.status, StatusCode::OK);
    assert_eq!(metered.used().await, (calls + 2, tokens + SAID + 5000 + 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_beyond_a_quota_is_refused_before_anybody_is_asked() {
    let metered = Metered::start().await;
    metered.set("chat.tokens", 100).await;
    let large = metered.chat(ECHO, true, 100).send().await;
    assert_eq!(large.status, StatusCode::TOO_MANY_REQUESTS, "{large:?}");
    assert!(large.json()["error"]["message"].as_str().unwrap().contains("chat.tokens"), "{large:?}");
    assert_eq!(metered.used().await, (0, 0), "a call that was refused is counted");
    let small = metered.chat(ECHO, true, 50).send().await;
    assert_eq!(small.status, StatusCode::OK, "{small:?}");
    metered.set("models.calls", 1).await;
    let again = metered.chat(ECHO, false, 1).send().await;
    assert_eq!(again.status, StatusCode::TOO_MANY_REQUESTS, "{again:?}");
    assert_eq!(metered.used().await, (1, 5));
    let asked = metrics(&metered.world.served).await;
    let ok = "mcp_chat_attempts_total{provider=\"metered\",model=\"echo\",outcome=\"ok\"} 1";
    assert!(asked.contains(ok), "{asked}");
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
