//! What the platform leans on, slow, down and lying: an identity provider, an Open Policy Agent, and Redis. Where it
//! guards access nobody gets in by it; where there is a stated time, what is known goes on for that long; and operators
//! see it.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use http::{Method, StatusCode};
use mcp_core::key::Secret;
use serde_json::{Value, json};

use crate::support::{
    Served,
    api::{Caller, metrics, ready},
    bounded::until,
    http::Attempt,
    opa::{Mood, Opa},
    provider::{Provider, RESOURCE},
    redis::{Liar, Redis},
};

/// A key of a principal of `acme` that may do everything.
fn key(served: &Served, principal: &str) -> Secret<String> {
    let create = ["key", "create", "acme", "--principal", principal, "--permission", "*"];
    Secret::new(served.command(&create)["key"].as_str().unwrap().to_owned())
}

/// An outage of one part makes no platform unready.
async fn is_ready(served: &Served) -> Value {
    let answer = ready(served).await;
    assert_eq!((answer.status, &answer.json()["ready"]), (StatusCode::OK, &json!(true)), "{answer:?}");
    answer.json()
}

/// A platform that takes tokens of a provider, whose keys hold for ten seconds without it.
struct Issued {
    served: Served,
    /// Of the provider.
    token: String,
    /// Of the platform.
    key: Secret<String>,
}

impl Issued {
    async fn by(provider: &Provider) -> Self {
        let config = "[auth]\nissuer_keys_stale_seconds = 10\nissuer_timeout_seconds = 1\n";
        let served = Served::start(&json!({}), config);
        served.command(&["tenant", "create", "acme", "--requests-per-minute", "1000000"]);
        let spec = json!({
            "url": provider.issuer, "audiences": [RESOURCE], "check": { "kind": "jwt" }, "private_addresses": true,
            "claims": { "tenant": "tenant", "grants": { "tools:call": ["tools:*"] } },
        });
        let made = Attempt::new(Method::POST, &served.api("/operator/issuers"))
            .bearer(served.operator_key().expose())
            .body(json!({ "id": "idp", "spec": spec }).to_string())
            .send()
            .await;
        assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
        let (token, key) = (provider.token("robot").await, key(&served, "ann"));
        Self { served, token, key }
    }

    async fn list(&self, credential: &str) -> StatusCode {
        Attempt::list(&self.served.url).bearer(credential).header("x-tenant-id", "acme").send().await.status
    }

    async fn state(&self) -> String {
        is_ready(&self.served).await["issuers"][0]["state"].as_str().unwrap().to_owned()
    }

    async fn works(&self) {
        until("its tokens are good", async || {
            self.list(&self.token).await == StatusCode::OK && self.state().await == "fresh"
        })
        .await;
    }

    /// Its tokens go on while its keys are not too old, then nobody gets in by them.
    async fn held_then_closed(&self, what: &str) {
        let mut held = 0;
        until("its tokens are refused", async || {
            let was_stale = self.state().await == "stale";
            let status = self.list(&self.token).await;
            held += u32::from(was_stale && status == StatusCode::OK);
            status != StatusCode::OK
        })
        .await;
        assert!(held > 0, "{what}: they were refused at once");
        self.is_closed(what).await;
    }

    async fn is_closed(&self, what: &str) {
        assert_eq!(self.list(&self.token).await, StatusCode::SERVICE_UNAVAILABLE, "{what}");
        assert_eq!(self.state().await, "unreachable", "{what}");
        let in_trouble = "mcp_issuers{state=\"unreachable\"} 1";
        until("metrics say it", async || metrics(&self.served).await.contains(in_trouble)).await;
        let ours = self.list(self.key.expose()).await;
        assert_eq!(ours, StatusCode::OK, "{what}: the platform's own credentials go with it");
    }
}

/// Answers every question with the metadata and keys of somebody else; how often it was asked.
async fn impostor(address: &str) -> (tokio::task::JoinHandle<()>, Arc<AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let asked = Arc::<AtomicUsize>::default();
    let counting = asked.clone();
    let answer = async move || {
        counting.fetch_add(1, Ordering::SeqCst);
        axum::Json(
            json!({ "issuer": "https://evil.example", "jwks_uri": "https://evil.example/keys", "keys": [] }),
        )
    };
    let app = axum::Router::new().fallback(answer);
    let serving = tokio::spawn(async move {
        let _ = axum::serve(listener, app).await;
    });
    (serving, asked)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_is_slow_down_or_lies_is_believed_for_the_stated_time_and_no_longer() {
    let provider = Provider::start();
    let issued = Issued::by(&provider).await;
    issued.works().await;
    provider.freeze();
    issued.held_then_closed("slow").await;
    provider.thaw();
    issued.works().await;

    let address = provider.address().to_owned();
    drop(provider);
    issued.held_then_closed("down").await;
    let (impostor, asked) = impostor(&address).await;
    until("the one in its place is asked", async || {
        issued.list(&issued.token).await;
        asked.load(Ordering::SeqCst) > 0
    })
    .await;
    issued.is_closed("lying").await;
    impostor.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_policy_agent_that_is_slow_or_lies_lets_in_only_what_it_decided_before() {
    let mut opa = Opa::start(|_| json!({ "allow": true }));
    let settings = opa.settings("opa_remember_seconds = 10\nopa_timeout_millis = 300\n");
    let served = Served::start(&json!({}), &settings);
    served.command(&["tenant", "create", "acme", "--requests-per-minute", "1000000"]);
    let nonsense = ["not JSON", "[]", "{\"result\": \"true\"}", "{\"result\": 1}"].map(Mood::Says);
    for (n, mood) in [Mood::Silent].into_iter().chain(nonsense).enumerate() {
        opa.becomes(Mood::Well);
        // Nothing is remembered of a principal that was not there before.
        let caller = Caller::new(&served, &key(&served, &format!("p{n}")));
        assert_eq!(caller.get("/contexts").await.status, StatusCode::OK, "{mood:?}");
        assert_eq!(is_ready(&served).await["opa"]["state"], "up", "{mood:?}");
        let asked = opa.asked();
        opa.becomes(mood);
        assert_eq!(caller.get("/contexts").await.status, StatusCode::OK, "{mood:?}: it was decided");
        assert_eq!(opa.asked(), asked, "{mood:?}: what is remembered was asked");
        let refused = caller.get("/keys").await;
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{mood:?}: {refused:?}");
        assert_eq!(is_ready(&served).await["opa"]["state"], "away", "{mood:?}");
        assert!(metrics(&served).await.contains("mcp_policy_opa_up 0"), "{mood:?}");
        if matches!(mood, Mood::Silent) {
            until("what was decided is forgotten", async || {
                caller.get("/contexts").await.status == StatusCode::SERVICE_UNAVAILABLE
            })
            .await;
        }
    }
    // What decides nothing, allows nothing.
    for (n, undecided) in
        ["{}", "{\"result\": {}}", "{\"result\": {\"allow\": \"true\"}}"].into_iter().enumerate()
    {
        opa.becomes(Mood::Says(undecided));
        let caller = Caller::new(&served, &key(&served, &format!("q{n}")));
        assert_eq!(caller.get("/contexts").await.status, StatusCode::FORBIDDEN, "{undecided}");
    }
    opa.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_slow_down_or_lies_leaves_each_replica_to_its_own_limits() {
    let mut redis = Redis::start();
    let port = redis.port;
    let config = format!(
        "operator_requests_per_minute = 1000000\n[limits]\nredis_url = \"{}\"\nredis_timeout_millis = 300\n\
         principal_per_minute = 3\n",
        redis.url()
    );
    let served = Served::start(&json!({}), &config);
    served.command(&["tenant", "create", "acme", "--requests-per-minute", "1000000"]);
    let operator = Caller::new(&served, &served.operator_key());
    let becomes = async |state: &str, gauge: &str| {
        until("the limiter's state changes", async || {
            // Somebody must ask: an operator's requests are limited too.
            assert_eq!(operator.get("/operator/tenants").await.status, StatusCode::OK);
            is_ready(&served).await["limiter"]["state"] == state
        })
        .await;
        assert!(metrics(&served).await.contains(&format!("mcp_limiter_degraded {gauge}")), "{state}");
    };
    let limited = async |what: &str| {
        let caller = Caller::new(&served, &key(&served, what));
        let mut allowed = 0;
        for _ in 0..6 {
            let status = caller.get("/servers").await.status;
            assert!(matches!(status, StatusCode::OK | StatusCode::TOO_MANY_REQUESTS), "{what}: {status}");
            allowed += u32::from(status == StatusCode::OK);
        }
        assert_eq!(allowed, 3, "{what}");
    };
    becomes("ok", "0").await;
    limited("well").await;
    redis.freeze();
    becomes("degraded", "1").await;
    limited("slow").await;
    redis.thaw();
    becomes("ok", "0").await;

    drop(redis);
    becomes("degraded", "1").await;
    limited("down").await;
    let liar = Liar::start_at(port);
    until("the liar is asked", async || {
        operator.get("/operator/tenants").await;
        liar.told() > 0
    })
    .await;
    limited("lying").await;
    becomes("degraded", "1").await;
    drop(liar);
    redis = Redis::start_at(port).expect("its port is taken");
    becomes("ok", "0").await;
    limited("back").await;
    drop(redis);
}
