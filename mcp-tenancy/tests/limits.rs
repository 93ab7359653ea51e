//! The layers that hold a tenant's requests to their limits: how many a minute, of whom, and how many at once.

#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests are not test functions")]

use std::{
    convert::Infallible,
    num::NonZeroU32,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use mcp_core::{
    Error, ErrorKind, PlatformScope, Scope,
    audit::{AuditRecord, Chain, DenialLog},
    layer::RescueLayer,
    scope::{Permissions, Principal, PrincipalId, PrincipalKind, TenantId},
};
use mcp_tenancy::{
    Tenancy, TenancyDeps,
    key::NewApiKey,
    layer::{AuthenticateLayer, RateLimitLayer, TenantConcurrencyLayer, TenantLayer},
    limit::{GcraLimiter, LimitPolicy},
    tenant::NewTenant,
    token::TokenConfig,
};
use tokio::sync::mpsc;
use tower::{Layer as _, Service as _, ServiceBuilder, ServiceExt as _, service_fn};

#[derive(Debug, Default)]
struct Denials(Mutex<Vec<(Chain, AuditRecord)>>);

impl DenialLog for Denials {
    fn denied(&self, chain: Chain, record: AuditRecord) {
        self.0.lock().unwrap().push((chain, record));
    }
}

impl Denials {
    /// The reasons since the last call, each with its chain.
    fn take(&self) -> Vec<(String, String)> {
        let denials = std::mem::take(&mut *self.0.lock().unwrap());
        let reason = |record: &AuditRecord| record.detail["reason"].as_str().unwrap().to_owned();
        denials.iter().map(|(chain, record)| (chain.to_string(), reason(record))).collect()
    }
}

fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).unwrap()
}

fn n(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).unwrap()
}

type Body = BoxBody<Bytes, Infallible>;

/// What the inside does with a request, as its body says.
#[derive(Debug)]
enum Inside {
    Answers,
    Fails,
    Panics,
    NeverAnswers,
    /// Sends what comes, until that ends.
    Streams(&'static str, mpsc::Receiver<&'static str>),
}

async fn inside(request: Request<Inside>) -> Result<Response<Body>, Error> {
    match request.into_body() {
        Inside::Answers => Ok(Response::new(Full::new(Bytes::from_static(b"x")).boxed())),
        Inside::Fails => Err(Error::not_found("test", "no")),
        Inside::Panics => panic!("a defect of the inside"),
        Inside::NeverAnswers => std::future::pending().await,
        Inside::Streams(content_type, mut words) => {
            let frames = futures_util::stream::poll_fn(move |cx| {
                words
                    .poll_recv(cx)
                    .map(|word| word.map(|word| Ok(Frame::data(Bytes::from_static(word.as_bytes())))))
            });
            let mut response = Response::new(BodyExt::boxed(StreamBody::new(frames)));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
            Ok(response)
        }
    }
}

/// The layer alone, around the inside; whose a request is says its scope.
struct AtOnce {
    layer: TenantConcurrencyLayer,
}

type Answer = Result<Response<mcp_core::layer::PermitBody<Body, mcp_tenancy::layer::InFlightPermit>>, Error>;

impl AtOnce {
    fn new(max: u32) -> Self {
        Self { layer: TenantConcurrencyLayer::new(n(max), Arc::new(Denials::default())) }
    }

    fn send(&self, of: &str, what: Inside) -> BoxFuture<'static, Answer> {
        let principal = Principal {
            id: PrincipalId::parse("p").unwrap(),
            kind: PrincipalKind::Service,
            permissions: Permissions::default(),
        };
        let mut request = Request::new(what);
        request.extensions_mut().insert(Scope::new(tenant(of), Arc::new(principal)));
        Box::pin(self.layer.layer(service_fn(inside)).oneshot(request))
    }

    /// Nothing runs any more, and nobody is remembered.
    fn assert_free(&self, after: &str) {
        assert_eq!((self.layer.running(&tenant("acme")), self.layer.tenants()), (0, 0), "after {after}");
    }
}

#[tokio::test]
async fn one_more_than_may_run_at_once_is_refused_and_other_tenants_are_not() {
    let at_once = AtOnce::new(2);
    let running = [(), ()].map(|()| {
        let mut request = at_once.send("acme", Inside::NeverAnswers);
        assert!((&mut request).now_or_never().is_none());
        request
    });
    let error = at_once.send("acme", Inside::Answers).await.unwrap_err();
    assert_eq!((error.kind(), error.retry_after()), (ErrorKind::RateLimited, Some(Duration::from_secs(1))));
    at_once.send("beta", Inside::Answers).await.unwrap();
    assert_eq!(at_once.layer.running(&tenant("acme")), 2);
    drop(running);
    at_once.assert_free("all were dropped");
    at_once.send("acme", Inside::Answers).await.unwrap();
}

#[tokio::test]
async fn a_place_is_free_again_on_every_path_out() {
    let at_once = AtOnce::new(1);

    let response = at_once.send("acme", Inside::Answers).await.unwrap();
    assert_eq!(at_once.layer.running(&tenant("acme")), 1, "the response is not sent yet");
    response.into_body().collect().await.unwrap();
    at_once.assert_free("a response was sent");

    drop(at_once.send("acme", Inside::Answers).await.unwrap());
    at_once.assert_free("a response was dropped");

    at_once.send("acme", Inside::Fails).await.unwrap_err();
    at_once.assert_free("an error");

    AssertUnwindSafe(at_once.send("acme", Inside::Panics)).catch_unwind().await.unwrap_err();
    at_once.assert_free("a panic");

    let mut cancelled = at_once.send("acme", Inside::NeverAnswers);
    assert!((&mut cancelled).now_or_never().is_none());
    assert_eq!(at_once.layer.running(&tenant("acme")), 1);
    drop(cancelled);
    at_once.assert_free("the caller went away");

    drop(at_once.send("acme", Inside::Answers));
    at_once.assert_free("a call that nobody polled");

    let task = tokio::spawn(at_once.send("acme", Inside::NeverAnswers));
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    at_once.assert_free("its task was aborted");
}

#[tokio::test]
async fn a_streamed_response_counts_until_its_end() {
    let at_once = AtOnce::new(1);
    let (words, receiver) = mpsc::channel(4);
    let response = at_once.send("acme", Inside::Streams("application/json", receiver)).await.unwrap();
    let mut body = response.into_body();
    words.send("[1,").await.unwrap();
    body.frame().await.unwrap().unwrap();
    at_once.send("acme", Inside::Answers).await.unwrap_err();
    drop(words);
    assert!(body.frame().await.is_none());
    at_once.assert_free("the stream ended, though its body is still held");
    at_once.send("acme", Inside::Answers).await.unwrap();

    let (words, receiver) = mpsc::channel(4);
    let response = at_once.send("acme", Inside::Streams("application/json", receiver)).await.unwrap();
    words.send("[1,").await.unwrap();
    drop(response);
    at_once.assert_free("a stream was dropped in the middle");
}

#[tokio::test]
async fn an_event_stream_counts_until_it_begins() {
    let at_once = AtOnce::new(1);
    let (words, receiver) = mpsc::channel(4);
    let open = at_once.send("acme", Inside::Streams("text/event-stream", receiver)).await.unwrap();
    at_once.assert_free("an event stream began");
    at_once.send("acme", Inside::Answers).await.unwrap();
    drop((words, open));
}

#[tokio::test(flavor = "multi_thread")]
async fn never_more_than_that_many_run_however_many_are_sent() {
    let at_once = AtOnce::new(3);
    for _ in 0..20 {
        let tasks: Vec<_> = (0..16).map(|_| tokio::spawn(at_once.send("acme", Inside::Answers))).collect();
        let mut answers = Vec::new();
        for task in tasks {
            answers.push(task.await.unwrap());
        }
        assert_eq!(
            answers.iter().filter(|answer| answer.is_ok()).count(),
            3,
            "responses that nobody reads yet"
        );
        drop(answers);
        at_once.assert_free("a round");
    }
}

#[tokio::test]
async fn without_a_tenant_nothing_runs() {
    let service = AtOnce::new(1).layer.layer(service_fn(inside));
    let error = service.oneshot(Request::new(Inside::Answers)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
}

/// A platform in memory with two tenants, and its stack of layers.
struct World {
    tenancy: Tenancy,
    admin: PlatformScope,
    denials: Arc<Denials>,
    limiter: Arc<GcraLimiter>,
    policy: Arc<LimitPolicy>,
    at_once: TenantConcurrencyLayer,
}

impl World {
    async fn new(policy: &str) -> Self {
        let tokens = TokenConfig::new("https://platform.example", "https://platform.example/mcp");
        let mut deps = TenancyDeps::memory(tokens).unwrap();
        // The test's minutes pass in a moment, in which nobody asks the store.
        deps.directory.hold = Duration::from_secs(3600);
        let tenancy = Tenancy::open(deps).await.unwrap();
        let admin = PlatformScope::new(PrincipalId::parse("operator").unwrap(), "a test");
        for id in ["acme", "beta"] {
            tenancy.create_tenant(&admin, NewTenant::new(tenant(id), id)).await.unwrap();
        }
        let policy: LimitPolicy = serde_json::from_str(policy).unwrap();
        policy.validate().unwrap();
        let denials = Arc::new(Denials::default());
        let at_once = TenantConcurrencyLayer::new(n(1), denials.clone());
        Self { tenancy, admin, denials, limiter: Arc::default(), policy: Arc::new(policy), at_once }
    }

    async fn key(&self, of: &str, principal: &str) -> String {
        let new = NewApiKey::service(tenant(of), "k", principal, Permissions::default()).unwrap();
        self.tenancy.create_key(&self.admin, new).await.unwrap().text.expose().clone()
    }

    async fn send(&self, key: &str, path: &str) -> Response<impl http_body::Body<Data = Bytes> + use<>> {
        let inside = service_fn(async |_: Request<()>| {
            Ok::<_, Error>(Response::new(Full::new(Bytes::from_static(b"x"))))
        });
        let mut stack = ServiceBuilder::new()
            .layer(RescueLayer::default())
            .layer(AuthenticateLayer::new(self.tenancy.authenticators(), self.denials.clone()))
            .layer(TenantLayer::new(self.tenancy.directory().clone(), self.denials.clone()))
            .layer(
                RateLimitLayer::new(self.limiter.clone(), self.denials.clone())
                    .with_policy(self.policy.clone()),
            )
            .layer(self.at_once.clone())
            .service(inside);
        let request = Request::builder().uri(path).header("x-api-key", key).body(()).unwrap();
        stack.ready().await.unwrap().call(request).await.unwrap()
    }

    /// The status, what is left of the strictest limit, and how large that is.
    async fn figures(&self, key: &str, path: &str) -> (u16, String, String) {
        let response = self.send(key, path).await;
        let header = |name| response.headers()[name].to_str().unwrap().to_owned();
        (response.status().as_u16(), header("ratelimit-remaining"), header("ratelimit-limit"))
    }
}

fn figures(status: u16, remaining: u32, limit: u32) -> (u16, String, String) {
    (status, remaining.to_string(), limit.to_string())
}

#[tokio::test(start_paused = true)]
async fn the_strictest_of_all_limits_decides_and_a_refusal_uses_up_none() {
    let policy = r#"{
        "principal_per_minute": 4, "key_per_minute": 3,
        "routes": [{ "path": "/v1/chat", "per_minute": 2 }]
    }"#;
    let world = World::new(policy).await;
    let (one, two) = (world.key("acme", "u1").await, world.key("acme", "u1").await);

    assert_eq!(world.figures(&one, "/v1/chat/completions").await, figures(200, 1, 2));
    assert_eq!(world.figures(&one, "/v1/chat").await, figures(200, 0, 2));
    for _ in 0..9 {
        assert_eq!(world.figures(&one, "/v1/chat").await, figures(429, 0, 2));
    }
    let denied = world.denials.take();
    assert_eq!(denied.len(), 9);
    assert!(
        denied.iter().all(|denial| *denial == ("acme".to_owned(), "over the route's requests".to_owned()))
    );

    // Nine refusals used up nothing of the key's three and the principal's four.
    assert_eq!(world.figures(&one, "/mcp").await, figures(200, 0, 3));
    assert_eq!(world.figures(&one, "/mcp").await, figures(429, 0, 3));
    assert_eq!(world.denials.take(), [("acme".to_owned(), "over the key's requests".to_owned())]);
    assert_eq!(world.figures(&two, "/mcp").await, figures(200, 0, 4));
    assert_eq!(world.figures(&two, "/mcp").await, figures(429, 0, 4));
    assert_eq!(world.denials.take(), [("acme".to_owned(), "over the principal's requests".to_owned())]);

    // Another principal has its own; so has another tenant, with a principal of the same name.
    let other = world.key("acme", "u2").await;
    assert_eq!(world.figures(&other, "/mcp").await, figures(200, 2, 3));
    let foreign = world.key("beta", "u1").await;
    assert_eq!(world.figures(&foreign, "/v1/chat").await, figures(200, 1, 2));

    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(world.figures(&one, "/v1/chat").await, figures(200, 1, 2));
    world.tenancy.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_too_many_at_once_is_a_429_in_the_tenants_own_chain() {
    let world = World::new("{}").await;
    let (acme, beta) = (world.key("acme", "u1").await, world.key("beta", "u1").await);
    let open = world.send(&acme, "/mcp").await;
    assert_eq!(open.status(), StatusCode::OK);
    let refused = world.send(&acme, "/mcp").await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(world.denials.take(), [("acme".to_owned(), "too many requests at once".to_owned())]);
    assert_eq!(world.send(&beta, "/mcp").await.status(), StatusCode::OK);
    drop(open);
    assert_eq!(world.send(&acme, "/mcp").await.status(), StatusCode::OK);
    world.tenancy.shutdown().await;
}
