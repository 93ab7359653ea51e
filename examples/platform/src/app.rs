//! The one visible stack: every request goes through these layers, outermost first.

use std::{convert::Infallible, net::IpAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    middleware,
    response::{IntoResponse, Response},
    routing::{any_service, get},
};
use http::{HeaderName, HeaderValue, Method, StatusCode, header, uri::Authority};
use mcp_core::{
    Error, Result,
    layer::{
        ConcurrencyLayer, DeadlineLayer, Failed, LoadShedLayer, RequestIdLayer, RescueLayer, TraceLayer,
    },
};
use mcp_inference::http_api::{self as inference_api, oip_error, openai_error};
use mcp_tenancy::layer::{
    AuthenticateLayer, AuthenticateOperatorLayer, AuthorizeLayer, OperatorRateLimitLayer, RateLimitLayer,
    TenantLayer,
};
use tower::{Service, ServiceBuilder, ServiceExt as _, service_fn, util::BoxCloneSyncService};
use tower_http::cors::{Any, CorsLayer};

use crate::{access::access_of, api, beside::BesideLayer, config, platform::Platform};

/// Requests of operators that run and wait at once: apart from tenants', so that operators can act while
/// tenants fill the platform.
const OPERATORS_RUNNING: usize = 32;
const OPERATORS_WAITING: usize = 32;

/// The public listener's routes: the MCP endpoint and the API, for callers with credentials; liveness for all.
///
/// # Errors
/// `InvalidInput` for a CORS origin that is none.
pub fn app(platform: &Arc<Platform>) -> Result<Router> {
    let (tenants, operators) = (tenant_stack(platform)?, operator_stack(platform));
    // Two ways in that share nothing: a key of one is nobody on the other.
    let by_path = service_fn(move |request: Request| {
        let of_operators = is_within(request.uri().path(), api::OPERATOR_ROOT);
        if of_operators { operators.clone().oneshot(request) } else { tenants.clone().oneshot(request) }
    });
    Ok(Router::new()
        .route("/health", get(async || StatusCode::NO_CONTENT))
        .route("/ready", get(ready))
        .with_state(Arc::clone(platform))
        .merge(api::openapi::routes()?)
        .fallback_service(by_path)
        // Outermost: a browser's preflight carries no credentials.
        .layer(cors(&platform.config().server)?))
}

/// What requests of tenants go through.
fn tenant_stack(platform: &Arc<Platform>) -> Result<Stack> {
    let server = &platform.config().server;
    let (tenancy, identity) = (platform.tenancy(), platform.identity());
    let denials = platform.denials();
    let rescue = RescueLayer::new(identity.challenge()?);
    let stack = ServiceBuilder::new()
        // Everything further in, refusals too, carries the request's id.
        .layer(RequestIdLayer)
        // Outside of rescue, so that it sees the status a caller gets.
        .layer(TraceLayer::new())
        // The one place where errors become responses, in the form of each wire; a 401 says where tokens come from,
        // a 403 which permission to ask for in addition.
        .layer(rescue.body_under("/v1", openai_error).body_under("/v2", oip_error))
        // Refuses before anything is spent on a request that would only wait.
        .layer(LoadShedLayer::new(server.max_running.saturating_add(server.max_waiting)))
        // Outside of the queue, so that waiting has an end too.
        .layer(DeadlineLayer::new(Duration::from_secs(server.request_timeout_seconds)))
        .layer(ConcurrencyLayer::new(server.max_running))
        // Inside of all bounds, outside of what asks for a token: who has none yet must get to where they come from.
        // What is there authenticates by itself.
        .layer(BesideLayer::new(mcp_tenancy::http_api::routes(platform.token_routes())))
        // As whom, then for which tenant, then how often: each needs what the one before found out. Keys, tokens and
        // client certificates of this platform first, which costs nobody else a question; then foreign issuers.
        .layer(AuthenticateLayer::new(identity.authenticators(), denials.clone()))
        .layer(TenantLayer::new(tenancy.directory().clone(), denials.clone()))
        .layer(RateLimitLayer::new(platform.limiter(), denials).with_policy(platform.limit_policy()))
        // Inside of the limits, so that what is refused here counts as a request.
        .layer(platform.at_once())
        // Innermost: asking policies costs something, so it is limited too. Roles count from here on.
        .layer(authorize(platform))
        .service(tenant_routes(platform));
    Ok(boxed(stack))
}

/// Asks roles and policies of the tenant what the permissions of the credential do not say.
pub(crate) fn authorize(platform: &Platform) -> AuthorizeLayer {
    let authorization = platform.authorization();
    AuthorizeLayer::new(Arc::clone(authorization.authorizer()) as _, Arc::new(access_of))
        .with_roles(authorization.directory().clone())
}

/// What requests of operators go through: the same, with nobody's tenant in it.
fn operator_stack(platform: &Arc<Platform>) -> Stack {
    let server = &platform.config().server;
    let denials = platform.denials();
    let stack = ServiceBuilder::new()
        .layer(RequestIdLayer)
        .layer(TraceLayer::new())
        // Its challenge is the bare scheme: no issuer's token is an operator's key.
        .layer(RescueLayer::default())
        .layer(LoadShedLayer::new(OPERATORS_RUNNING + OPERATORS_WAITING))
        .layer(DeadlineLayer::new(Duration::from_secs(server.request_timeout_seconds)))
        .layer(ConcurrencyLayer::new(OPERATORS_RUNNING))
        .layer(AuthenticateOperatorLayer::new(platform.tenancy().operators().clone(), denials.clone()))
        .layer(OperatorRateLimitLayer::new(platform.limiter(), server.operator_requests_per_minute, denials))
        .service(operator_routes(platform));
    boxed(stack)
}

/// What operators reach: the platform's own routes, and those of the crates.
pub(crate) fn operator_routes(platform: &Arc<Platform>) -> Router {
    api::of_operators()
        .with_state(Arc::clone(platform))
        .merge(mcp_automation::http_api::operator_routes(Arc::clone(platform.releases())))
}

type Stack = BoxCloneSyncService<Request, Response, Infallible>;

fn boxed<S, B>(stack: S) -> Stack
where
    S: Service<Request, Response = http::Response<B>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
    B: 'static,
    http::Response<B>: IntoResponse,
{
    BoxCloneSyncService::new(stack.map_response(IntoResponse::into_response))
}

/// Whether `path` is `root` or below it.
fn is_within(path: &str, root: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What a caller reaches once it is known for which tenant it acts.
pub(crate) fn tenant_routes(platform: &Arc<Platform>) -> Router {
    // axum knows no failing services: what the gateway fails with goes to rescue by way of the response.
    let gateway = platform.gateway().clone();
    let gateway = service_fn(move |request: Request| {
        let gateway = gateway.clone();
        async move {
            Ok::<_, Infallible>(match gateway.oneshot(request).await {
                Ok(response) => response.map(Body::new),
                Err(error) => Failed::response(error),
            })
        }
    });
    Router::new()
        .route("/mcp", any_service(gateway.clone()))
        .route("/mcp/{server}", any_service(gateway))
        .merge(api::of_tenants())
        .with_state(Arc::clone(platform))
        .merge(inference_api::routes(platform.inference()))
        .merge(mcp_context::http_api::routes(platform.context_routes()))
}

/// The operations listener's routes; they tell of all tenants, so the listener is private.
pub fn operations(platform: &Arc<Platform>) -> Router {
    let listen = platform.config().server.operations_listen;
    let router = Router::new()
        .route("/health", get(async || StatusCode::NO_CONTENT))
        .route("/ready", get(ready_in_detail))
        .route("/metrics", get(metrics))
        .with_state(Arc::clone(platform));
    // A web page whose name was pointed at this machine must not read it through an operator's browser.
    if listen.ip().is_loopback() { router.layer(middleware::from_fn(own_names_only)) } else { router }
}

/// Refuses a `Host` that is neither an address nor `localhost`.
async fn own_names_only(request: Request, next: middleware::Next) -> axum::response::Response {
    let host = request.headers().get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or("");
    let name = host.parse::<Authority>().map(|host| host.host().to_owned()).unwrap_or_default();
    let address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    if address || name == "localhost" {
        next.run(request).await
    } else {
        StatusCode::FORBIDDEN.into_response()
    }
}

async fn ready(State(platform): State<Arc<Platform>>) -> StatusCode {
    if platform.readiness().await.is_ready() {
        StatusCode::NO_CONTENT
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

async fn ready_in_detail(State(platform): State<Arc<Platform>>) -> impl IntoResponse {
    let readiness = platform.readiness().await;
    let status = if readiness.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(readiness))
}

async fn metrics(State(platform): State<Arc<Platform>>, _: Request) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], platform.metrics_text())
}

fn cors(server: &config::Server) -> Result<CorsLayer> {
    let allowed = [
        "authorization",
        "content-type",
        "accept",
        "mcp-session-id",
        "mcp-protocol-version",
        "mcp-method",
        "mcp-name",
        "last-event-id",
        "x-tenant-id",
        "x-request-id",
        "traceparent",
        "idempotency-key",
        "if-match",
    ];
    let exposed = [
        "mcp-session-id",
        "x-request-id",
        "x-mcp-deployment",
        "www-authenticate",
        "retry-after",
        "ratelimit-limit",
        "ratelimit-remaining",
        "ratelimit-reset",
        "etag",
        "location",
    ];
    let layer = CorsLayer::new()
        .allow_methods([Method::GET, Method::PUT, Method::POST, Method::PATCH, Method::DELETE])
        .allow_headers(allowed.map(HeaderName::from_static))
        .expose_headers(exposed.map(HeaderName::from_static))
        .max_age(Duration::from_secs(3600));
    if server.cors_origins.iter().any(|origin| origin == "*") {
        return Ok(layer.allow_origin(Any));
    }
    let origins: Vec<HeaderValue> = server
        .cors_origins
        .iter()
        .map(|origin| {
            HeaderValue::from_str(origin).map_err(|_| {
                Error::invalid_input("config.load", format!("server.cors_origins: {origin:?} is no origin"))
            })
        })
        .collect::<Result<_>>()?;
    Ok(layer.allow_origin(origins))
}
