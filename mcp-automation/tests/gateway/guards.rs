//! What is asked beside permissions, of which thing, and that what is refused reaches no server.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    num::NonZeroU32,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use http::StatusCode;
use mcp_automation::{
    gateway::{GatewayConfig, Guards, PrefixMode, ToolLimits},
    protocol::ProtocolVersion,
};
use mcp_core::{
    Error, PlatformScope, Result, Scope,
    access::{Access, Authorizer},
    limit::{Decision, Limit, RateLimiter},
    redact::{PiiKind, Placeholders, Redacted, Redactor},
};
use serde_json::{Value, json};

use crate::{
    client::message,
    support::{TestServer, guarded_bench},
};

/// Allows everything but some resources, and keeps what it was asked.
#[derive(Debug, Default)]
struct Rules {
    denied: Vec<&'static str>,
    asked: Mutex<Vec<String>>,
}

#[async_trait]
impl Authorizer for Rules {
    async fn authorize(&self, _scope: &Scope, access: &Access) -> Result<()> {
        let resource = format!("{}/{}", access.resource.kind.as_str(), access.resource.id);
        let server = access.resource.attributes.get("server").and_then(Value::as_str).unwrap_or("-");
        let context = |name: &str| access.context[name].as_str().unwrap().to_owned();
        let (method, path) = (context("method"), context("path"));
        self.asked.lock().unwrap().push(format!("{} {resource} {server} {method} {path}", access.action));
        match self.denied.contains(&resource.as_str()) {
            true => Err(Error::permission_denied("test", "a rule does not allow this")),
            false => Ok(()),
        }
    }
}

/// Lets each key through as often as its burst says.
#[derive(Debug, Default)]
struct Counter(Mutex<BTreeMap<String, u32>>);

#[async_trait]
impl RateLimiter for Counter {
    async fn check(&self, _scope: &Scope, limits: &[Limit], _cost: NonZeroU32) -> Result<Option<Decision>> {
        let limit = &limits[0];
        let mut counts = self.0.lock().unwrap();
        let count = counts.entry(limit.key.to_string()).or_default();
        let allowed = *count < limit.burst.get();
        *count += u32::from(allowed);
        let minute = std::time::Duration::from_secs(60);
        let retry_after = if allowed { std::time::Duration::ZERO } else { minute };
        let remaining = u64::from(limit.burst.get() - *count);
        let limit = u64::from(limit.burst.get());
        Ok(Some(Decision { allowed, index: 0, limit, remaining, reset: minute, retry_after }))
    }

    async fn check_platform(
        &self,
        _scope: &PlatformScope,
        _limits: &[Limit],
        _cost: NonZeroU32,
    ) -> Result<Option<Decision>> {
        Ok(None)
    }
}

/// Takes one word out of JSON, and refuses another.
#[derive(Debug)]
struct Word;

impl Redactor for Word {
    fn redact<'t>(&self, _scope: &Scope, text: &'t str) -> Result<Redacted<'t>> {
        Ok(Redacted { text: Cow::Borrowed(text), spans: Vec::new() })
    }

    fn redact_json<'t>(&self, _scope: &Scope, json: &'t str) -> Result<Redacted<'t>> {
        if json.contains("unspeakable") {
            return Err(Error::invalid_input("test", "a text holds a word that is refused"));
        }
        Ok(Redacted { text: Cow::Owned(json.replace("confidential", "[word]")), spans: Vec::new() })
    }

    fn redact_value(&self, _scope: &Scope, _value: &mut Value) -> Result<Vec<PiiKind>> {
        Ok(Vec::new())
    }

    fn redact_reversibly<'t>(
        &self,
        scope: &Scope,
        text: &'t str,
        _placeholders: &mut Placeholders,
    ) -> Result<Redacted<'t>> {
        self.redact(scope, text)
    }
}

fn server(name: &str, tools: &[&str]) -> TestServer {
    TestServer::new(name, ProtocolVersion::V2025_11_25, tools)
}

#[tokio::test]
async fn everything_that_reaches_a_server_is_asked_about_by_its_one_name() {
    let rules = Arc::new(Rules::default());
    let guards = Guards { authorizer: Some(rules.clone()), ..Guards::default() };
    let config = GatewayConfig { prefix: PrefixMode::Conflict, ..GatewayConfig::default() };
    let bench = guarded_bench(config, guards, vec![server("a", &["echo"])]);
    let client = bench.ann().initialize(json!({})).await;
    let uri = "test://a/static";
    for (method, params, asked) in [
        ("tools/list", json!({}), "tools:list endpoint//mcp - tools/list /mcp"),
        (
            "resources/templates/list",
            json!({}),
            "resources:list endpoint//mcp - resources/templates/list /mcp",
        ),
        ("tools/call", json!({"name": "echo"}), "tools:call tool/a__echo a tools/call /mcp"),
        ("prompts/get", json!({"name": "greet"}), "prompts:get prompt/a__greet a prompts/get /mcp"),
        (
            "resources/read",
            json!({ "uri": uri }),
            "resources:read resource/test://a/static a resources/read /mcp",
        ),
        (
            "resources/subscribe",
            json!({ "uri": uri }),
            "resources:read resource/test://a/static a resources/subscribe /mcp",
        ),
        (
            "completion/complete",
            json!({"ref": {"type": "ref/prompt", "name": "greet"}, "argument": {}}),
            "prompts:get prompt/a__greet a completion/complete /mcp",
        ),
        (
            "completion/complete",
            json!({"ref": {"type": "ref/resource", "uri": uri}, "argument": {}}),
            "resources:read resource/test://a/static a completion/complete /mcp",
        ),
    ] {
        let answer = client.rpc(method, params).await;
        assert!(answer.get("result").is_some(), "{method}: {answer}");
        assert_eq!(std::mem::take(&mut *rules.asked.lock().unwrap()), [asked], "{method}");
    }
    let of_server = bench.ann().at("/mcp/a").initialize(json!({})).await;
    of_server.rpc("tools/call", json!({"name": "echo"})).await;
    of_server.rpc("tools/list", json!({})).await;
    let asked = std::mem::take(&mut *rules.asked.lock().unwrap());
    assert_eq!(
        asked,
        ["tools:call tool/a__echo a tools/call /mcp/a", "tools:list server/a a tools/list /mcp/a"]
    );
    client.rpc("ping", json!({})).await;
    client.rpc("logging/setLevel", json!({"level": "info"})).await;
    assert!(rules.asked.lock().unwrap().is_empty(), "what takes no permission is not asked about");
}

#[tokio::test]
async fn what_is_denied_reaches_no_server_and_gets_403() {
    let denied = vec!["tool/a__echo", "prompt/a__greet", "resource/test://a/static", "endpoint//mcp"];
    let guards =
        Guards { authorizer: Some(Arc::new(Rules { denied, ..Rules::default() })), ..Guards::default() };
    let bench = guarded_bench(GatewayConfig::default(), guards, vec![server("a", &["echo", "add"])]);
    let client = bench.ann();
    for (method, params) in [
        ("tools/call", json!({"name": "a__echo"})),
        ("prompts/get", json!({"name": "a__greet"})),
        ("resources/read", json!({"uri": "test://a/static"})),
        ("tools/list", json!({})),
    ] {
        let response = client.send(client.stateless_request(method, params)).await.unwrap();
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{method}");
        let answer = message(response).await;
        assert_eq!(answer["error"]["data"]["code"], "permission_denied", "{method}: {answer}");
    }
    let allowed = client.stateless("tools/call", json!({"name": "a__add"})).await;
    assert!(allowed.get("result").is_some(), "{allowed}");
    let server = bench.server("acme", "a");
    assert_eq!(server.calls_of("tools/call").len(), 1);
    assert!(server.calls_of("prompts/get").is_empty() && server.calls_of("resources/read").is_empty());
}

#[tokio::test]
async fn a_tools_limit_is_refused_with_its_figures_and_recorded() {
    let limits = ToolLimits {
        limiter: Arc::new(Counter::default()),
        tools: BTreeMap::from([("a__echo".to_owned(), NonZeroU32::MIN)]),
        each: NonZeroU32::new(2),
    };
    let guards = Guards { limits: Some(limits), ..Guards::default() };
    let bench = guarded_bench(GatewayConfig::default(), guards, vec![server("a", &["echo", "add"])]);
    let client = bench.ann();
    let call = async |name: &str| {
        let request = client.stateless_request("tools/call", json!({ "name": name }));
        client.send(request).await.unwrap()
    };
    assert_eq!(call("a__echo").await.status(), StatusCode::OK);
    let refused = call("a__echo").await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let headers = refused.headers();
    assert_eq!(
        (&headers["ratelimit-limit"], &headers["retry-after"]),
        (&"1".parse().unwrap(), &"60".parse().unwrap())
    );
    assert_eq!(message(refused).await["error"]["data"]["code"], "rate_limited");
    let (_, record) = bench.denials.0.lock().unwrap().pop().unwrap();
    assert_eq!((record.action.as_ref(), record.resource.as_str()), ("limit.denied", "tool/a__echo"));
    // Names that callers make up share one count, and take nothing from a tool that is there.
    for n in 0..2 {
        assert_eq!(call(&format!("a__made_up_{n}")).await.status(), StatusCode::OK);
    }
    assert_eq!(call("a__made_up_2").await.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(call("a__add").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn results_are_redacted_and_what_is_refused_is_withheld() {
    let guards = Guards { redactor: Some(Arc::new(Word)), ..Guards::default() };
    let servers = vec![server("a", &["confidential", "unspeakable"])];
    let bench = guarded_bench(GatewayConfig::default(), guards, servers);
    let client = bench.ann().initialize(json!({})).await;
    let answer = client.rpc("tools/call", json!({"name": "a__confidential"})).await;
    assert_eq!(answer["result"]["content"][0]["text"], "[word] of a");
    let answer = client.rpc("tools/call", json!({"name": "a__unspeakable"})).await;
    assert!(answer.get("result").is_none() && !answer.to_string().contains("unspeakable"), "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().contains("withheld"), "{answer}");
    // Lists name what there is, and stay as they are.
    let list = client.rpc("tools/list", json!({})).await;
    assert_eq!(list["result"]["tools"][0]["name"], "a__confidential");
}
