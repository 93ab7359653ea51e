//! The router over real connections: fallbacks, breakers, budgets, and streams that fail in the middle.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::StreamExt as _;
use mcp_core::{
    Error, ErrorKind,
    clock::{ManualClock, Timestamp},
    error::Retry,
};
use mcp_inference::{
    chat::{
        ChatProvider, ChatRequest,
        openai::{OpenAiConfig, OpenAiProvider},
    },
    router::{BreakerConfig, BudgetConfig, ChatAnswer, Deployment, Route, Router, RouterConfig},
};
use serde_json::{Value, json};

use crate::upstream::{
    JSON, Step, Upstream, answer, delta, event, provider, request, role, says, scope, stream_head, streams,
};

/// Routes the model `fast` through the upstreams in order, as the providers `a`, `b`, …
struct Setup {
    router: Router,
    clock: ManualClock,
}

impl Setup {
    fn new(upstreams: &[&Upstream], change: impl FnOnce(&mut RouterConfig)) -> Self {
        let names = ["a", "b", "c"];
        let providers: Vec<Arc<dyn ChatProvider>> = upstreams
            .iter()
            .zip(names)
            .map(|(upstream, name)| {
                let mut config = upstream.config(name);
                (config.first_byte, config.idle) = (Duration::from_millis(400), Duration::from_millis(400));
                Arc::new(provider(config)) as _
            })
            .collect();
        let chain = names[..providers.len()].iter().map(|name| Deployment::new(*name, "real")).collect();
        Self::over(providers, vec![Route { model: "fast".to_owned(), chain }], change)
    }

    fn over(
        providers: Vec<Arc<dyn ChatProvider>>,
        routes: Vec<Route>,
        change: impl FnOnce(&mut RouterConfig),
    ) -> Self {
        let mut config = RouterConfig { routes, ..RouterConfig::default() };
        change(&mut config);
        let clock = ManualClock::new(Timestamp::from_micros(1_000_000_000));
        let router = Router::new(config, providers, Arc::new(clock.clone())).unwrap();
        Self { router, clock }
    }

    async fn whole(&self) -> Result<String, Error> {
        self.ask(&request("fast")).await
    }

    async fn ask(&self, request: &ChatRequest) -> Result<String, Error> {
        match self.router.chat(&scope(), request).await?.answer {
            ChatAnswer::Whole(whole) => {
                let json: Value = serde_json::from_slice(&whole.json).unwrap();
                Ok(json["choices"][0]["message"]["content"].as_str().unwrap().to_owned())
            }
            ChatAnswer::Stream(_) => panic!("a stream was not asked for"),
        }
    }

    /// What a stream said, and the error it ended with.
    async fn stream(&self, options: Value) -> (String, usize, Option<Error>) {
        let mut body = json!({ "model": "fast", "messages": [{ "role": "user" }], "stream": true });
        body["stream_options"] = options;
        let request = ChatRequest::parse(body.to_string().as_bytes()).unwrap();
        let mut stream = match self.router.chat(&scope(), &request).await.map(|routed| routed.answer) {
            Ok(ChatAnswer::Stream(stream)) => stream,
            Ok(ChatAnswer::Whole(_)) => panic!("a stream was asked for"),
            Err(error) => return (String::new(), 0, Some(error)),
        };
        let (mut said, mut chunks) = (String::new(), 0);
        while let Some(chunk) = stream.next().await {
            let chunk = match chunk {
                Ok(chunk) => chunk,
                Err(error) => {
                    assert!(stream.next().await.is_none(), "something follows an error");
                    return (said, chunks, Some(error));
                }
            };
            chunks += 1;
            let json: Value = serde_json::from_slice(&chunk.json).unwrap();
            said.push_str(json["choices"][0]["delta"]["content"].as_str().unwrap_or_default());
        }
        (said, chunks, None)
    }
}

fn broken() -> Vec<Step> {
    answer("500 Oops", JSON, "{}")
}

/// Many attempts, and no limits to retries.
fn generous(config: &mut RouterConfig) {
    config.budget.saved = 1e6;
    config.breaker.failures = 1000;
}

#[tokio::test]
async fn every_fault_of_a_provider_leads_to_the_next_one() {
    let live = Upstream::start(vec![says("from b")]).await;
    for script in [
        broken(),
        answer("429 Busy", "retry-after: 1\r\n", ""),
        answer("401 No", JSON, "{}"),
        answer("404 Nothing", "content-type: text/html\r\n", "<html>"),
        answer("200 OK", JSON, r#"{"error":{"message":"boom"}}"#),
        answer("200 OK", JSON, "garbage"),
        answer("200 OK", "content-type: text/html\r\n", "<html>"),
        vec![Step::Send(format!("HTTP/1.1 200 OK\r\n{JSON}content-length: 99\r\n\r\n{{"))],
        vec![Step::Hold],
        vec![],
    ] {
        let shown = format!("{script:?}");
        let bad = Upstream::start(vec![script]).await;
        let setup = Setup::new(&[&bad, &live], generous);
        assert_eq!(setup.whole().await.unwrap(), "from b", "{shown}");
        assert_eq!(bad.heard().len(), 1, "{shown}");
    }
}

#[tokio::test]
async fn a_stream_that_fails_before_its_first_content_is_begun_anew_elsewhere() {
    let live = Upstream::start(vec![streams(&["from ", "b"])]).await;
    for script in [
        broken(),
        vec![stream_head(), role()],
        vec![stream_head(), role(), event(r#"{"error":{"message":"boom"}}"#)],
        vec![stream_head(), role(), Step::Hold],
        vec![stream_head(), event("garbage")],
        vec![stream_head(), role(), event("[DONE]")],
        says("not a stream"),
    ] {
        let shown = format!("{script:?}");
        let bad = Upstream::start(vec![script]).await;
        let (said, chunks, error) = Setup::new(&[&bad, &live], generous).stream(Value::Null).await;
        assert_eq!((said.as_str(), error.map(|error| error.to_string())), ("from b", None), "{shown}");
        // Role, two words and the end: nothing of the first stream, and not the usage that nobody asked for.
        assert_eq!(chunks, 4, "{shown}");
    }
}

#[tokio::test]
async fn after_its_first_content_a_stream_ends_with_the_error_and_nobody_else_is_asked() {
    let bad = Upstream::start(vec![vec![
        stream_head(),
        role(),
        delta(&json!({ "content": "Hel" }), None),
        event(r#"{"error":{"message":"boom"}}"#),
    ]])
    .await;
    let live = Upstream::start(vec![streams(&["other"])]).await;
    let setup = Setup::new(&[&bad, &live], |config| config.breaker.failures = 2);
    for _ in 0..2 {
        let (said, _, error) = setup.stream(Value::Null).await;
        assert_eq!(said, "Hel");
        assert!(error.unwrap().message().contains("answered with an error"));
    }
    assert!(live.heard().is_empty());
    // Though both answered with 200, they were no successes.
    assert_eq!(setup.stream(Value::Null).await.0, "other");
}

#[tokio::test]
async fn the_chunk_with_the_usage_reaches_who_asked_for_it() {
    let live = Upstream::start(vec![streams(&["a"])]).await;
    let setup = Setup::new(&[&live], generous);
    assert_eq!(setup.stream(json!({ "include_usage": true })).await.1, 4);
    assert_eq!(setup.stream(Value::Null).await.1, 3);
}

#[tokio::test]
async fn a_request_that_is_at_fault_is_asked_of_nobody_else() {
    let live = Upstream::start(vec![says("from b")]).await;
    for (status, kind) in [
        ("400 Bad", ErrorKind::InvalidInput),
        ("422 Bad", ErrorKind::InvalidInput),
        ("413 Large", ErrorKind::TooLarge),
        ("404 No", ErrorKind::NotFound),
    ] {
        let body =
            r#"{"error":{"message":"the model cannot do this","code":"model_not_found","param":"messages"}}"#;
        let bad = Upstream::start(vec![answer(status, JSON, body)]).await;
        let error = Setup::new(&[&bad, &live], generous).whole().await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
    }
    assert!(live.heard().is_empty());
}

#[tokio::test]
async fn when_none_is_left_the_error_names_each_and_why() {
    let (a, b) = (Upstream::start(vec![broken()]).await, Upstream::start(vec![vec![]]).await);
    let error = Setup::new(&[&a, &b], generous).whole().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Upstream);
    assert_eq!(
        error.message(),
        "no provider answered for the model `fast`: a/real: the provider `a` answered with the HTTP status 500; \
         b/real: the provider `b` broke the connection"
    );
    // Each was tried twice, within the four attempts that a request has.
    assert_eq!((a.heard().len(), b.heard().len()), (2, 2));
    // All are busy: the caller is told when to come back.
    let busy = answer("429 Busy", "retry-after: 9\r\n", "");
    let (a, b) = (Upstream::start(vec![busy.clone()]).await, Upstream::start(vec![busy]).await);
    let error = Setup::new(&[&a, &b], generous).whole().await.unwrap_err();
    assert_eq!((error.kind(), error.retry_after()), (ErrorKind::RateLimited, Some(Duration::from_secs(9))));
    assert_eq!((a.heard().len(), b.heard().len()), (1, 1));
}

#[tokio::test]
async fn a_deployment_that_keeps_failing_is_left_alone_and_then_tried_again() {
    let mut scripts = vec![broken(); 3];
    scripts.push(says("from a"));
    let (a, b) = (Upstream::start(scripts).await, Upstream::start(vec![says("from b")]).await);
    let setup = Setup::new(&[&a, &b], |config| {
        config.breaker = BreakerConfig { failures: 3, open: Duration::from_secs(10), ..config.breaker };
    });
    for _ in 0..5 {
        assert_eq!(setup.whole().await.unwrap(), "from b");
    }
    assert_eq!(a.heard().len(), 3);
    setup.clock.advance(Duration::from_secs(11));
    assert_eq!(setup.whole().await.unwrap(), "from a");
}

#[tokio::test]
async fn a_probe_that_the_caller_leaves_behind_does_not_keep_the_breaker_half_open() {
    let a = Upstream::start(vec![broken(), vec![Step::Hold], says("from a")]).await;
    let setup = Setup::new(&[&a], |config| {
        config.breaker.failures = 1;
        config.attempts = 1;
    });
    assert!(setup.whole().await.is_err());
    let open = setup.whole().await.unwrap_err();
    assert_eq!((open.kind(), open.retry_after()), (ErrorKind::Unavailable, Some(Duration::from_secs(10))));
    setup.clock.advance(Duration::from_secs(10));
    assert!(tokio::time::timeout(Duration::from_millis(100), setup.whole()).await.is_err());
    assert_eq!(setup.whole().await.unwrap(), "from a");
}

#[tokio::test]
async fn retries_and_fallbacks_share_one_budget() {
    let (a, b) = (Upstream::start(vec![broken()]).await, Upstream::start(vec![says("from b")]).await);
    let setup = Setup::new(&[&a, &b], |config| {
        config.breaker.failures = 1000;
        config.budget = BudgetConfig { per_request: 0.0, per_second: 1.0, saved: 2.0 };
    });
    assert!(setup.whole().await.is_ok());
    assert!(setup.whole().await.is_ok());
    let error = setup.whole().await.unwrap_err();
    assert_eq!(error.retry(), Retry::Exhausted);
    assert!(error.message().contains("budget"), "{error}");
    assert_eq!((a.heard().len(), b.heard().len()), (3, 2));
    setup.clock.advance(Duration::from_secs(1));
    assert!(setup.whole().await.is_ok());
}

#[tokio::test]
async fn a_retry_after_holds_for_every_deployment_of_the_account() {
    let busy = Upstream::start(vec![answer("429 Busy", "retry-after: 30\r\n", ""), says("from a")]).await;
    let live = Upstream::start(vec![says("from b")]).await;
    let setup = {
        let providers: Vec<Arc<dyn ChatProvider>> = vec![
            Arc::new(busy.provider("a")),
            Arc::new(busy.provider("again")),
            Arc::new(live.provider("b")),
        ];
        let chain =
            |first: &str, model: &str| vec![Deployment::new(first, model), Deployment::new("b", "real")];
        let routes = vec![
            Route { model: "fast".to_owned(), chain: chain("a", "small") },
            Route { model: "good".to_owned(), chain: chain("a", "large") },
            Route { model: "other".to_owned(), chain: chain("again", "large") },
        ];
        Setup::over(providers, routes, generous)
    };
    for model in ["fast", "good", "other"] {
        assert_eq!(setup.ask(&request(model)).await.unwrap(), "from b");
    }
    assert_eq!(busy.heard().len(), 1);
    setup.clock.advance(Duration::from_secs(30));
    assert_eq!(setup.ask(&request("other")).await.unwrap(), "from a");
}

#[tokio::test]
async fn a_deadline_leaves_time_for_the_next_deployment() {
    let silent = Upstream::start(vec![vec![Step::Hold]]).await;
    let live = Upstream::start(vec![says("from b")]).await;
    let providers: Vec<Arc<dyn ChatProvider>> =
        vec![Arc::new(silent.provider("a")), Arc::new(live.provider("b"))];
    let chain = vec![Deployment::new("a", "real"), Deployment::new("b", "real")];
    let setup = Setup::over(providers, vec![Route { model: "fast".to_owned(), chain }], generous);
    let scope = scope().with_deadline(Instant::now() + Duration::from_secs(1));
    let routed = setup.router.chat(&scope, &request("fast")).await.unwrap();
    assert_eq!(routed.deployment, "b/real");

    let alone = Setup::new(&[&silent], generous);
    let scope = scope.with_deadline(Instant::now() + Duration::from_millis(200));
    let error = alone.router.chat(&scope, &request("fast")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
    assert!(error.message().contains("a/real") && error.message().contains("deadline"), "{error}");
}

#[tokio::test]
async fn who_leaves_a_stream_ends_it_at_the_provider() {
    let script = vec![stream_head(), role(), delta(&json!({ "content": "Hel" }), None), Step::Hold];
    let mut upstream = Upstream::start(vec![script]).await;
    let providers: Vec<Arc<dyn ChatProvider>> = vec![Arc::new(upstream.provider("a"))];
    let chain = vec![Deployment::new("a", "real")];
    let setup = Setup::over(providers, vec![Route { model: "fast".to_owned(), chain }], generous);
    let body = json!({ "model": "fast", "messages": [{ "role": "user" }], "stream": true }).to_string();
    let request = ChatRequest::parse(body.as_bytes()).unwrap();
    let routed = setup.router.chat(&scope(), &request).await.unwrap();
    assert!(matches!(routed.answer, ChatAnswer::Stream(_)));
    drop(routed);
    upstream.abandoned().await;
}

#[tokio::test]
async fn an_unknown_model_is_not_found_with_the_nearest() {
    let live = Upstream::start(vec![says("x")]).await;
    let setup = Setup::new(&[&live], generous);
    let error = setup.ask(&request("fats")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.message(), "there is no model `fats`; did you mean `fast`?");
}

#[test]
fn a_configuration_that_cannot_work_is_refused_by_name() {
    let near = || -> Arc<dyn ChatProvider> {
        let config = OpenAiConfig::new("near", "http://127.0.0.1:1/v1").unwrap();
        Arc::new(OpenAiProvider::new(config, Arc::new(mcp_core::clock::SystemClock)).unwrap())
    };
    let route = |model: &str, chain: &[(&str, &str)]| Route {
        model: model.to_owned(),
        chain: chain.iter().map(|(provider, model)| Deployment::new(*provider, *model)).collect(),
    };
    let good = ("near", "m");
    for (routes, wanted) in [
        (
            vec![route("a", &[("naer", "m")])],
            "the route `a` names the unknown provider `naer`; did you mean `near`?",
        ),
        (vec![route("a", &[])], "the route `a`: chain must name 1 to 16"),
        (vec![route("a", &[good]), route("a", &[good])], "two routes for the model `a`"),
        (vec![route("a", &[good, good])], "names near/m twice"),
        (vec![route("", &[good])], "no model's name"),
        (vec![route("a", &[("near", "")])], "names no model"),
    ] {
        let config = RouterConfig { routes, ..RouterConfig::default() };
        let clock = Arc::new(mcp_core::clock::SystemClock);
        let error = Router::new(config, vec![near()], clock).unwrap_err();
        assert!(error.message().contains(wanted), "{wanted:?} not in {error}");
    }
    let clock = Arc::new(mcp_core::clock::SystemClock);
    let twice = Router::new(RouterConfig::default(), vec![near(), near()], clock).unwrap_err();
    assert!(twice.message().contains("two providers with the name `near`"), "{twice}");
}
