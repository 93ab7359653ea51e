//! The whole stack of layers around a service that does nothing, beside the sum of its parts called bare.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, request::Parts};
use http_body_util::Empty;
use mcp_core::{
    Scope,
    access::Authorizer,
    audit::DenialLog,
    limit::{Limit, RateLimiter},
};
use mcp_tenancy::{
    Tenancy, TenancyDeps,
    auth::Authenticators,
    layer::{AuthenticateLayer, AuthorizeLayer, RateLimitLayer, TenantLayer, endpoint},
    limit::{GcraLimiter, LimitPolicy, RouteLimit},
    policy::{Authorization, AuthorizationDeps, Language, NewPolicy, PolicyAuthorizer, PolicyText},
    tenant::NewTenant,
    token::TokenConfig,
};
use tower::{Service, ServiceBuilder, ServiceExt as _, service_fn};

use super::{
    NAME, NoDenials,
    cedar::{self, Bare},
    operator, principal, scope, tenant,
    timed::{Time, in_turn, per_call},
};
use crate::{Failure, row::Row};

/// Requests in a round.
const REQUESTS: usize = 512;
const PATH: &str = "/mcp";
const MAY: [&str; 2] = ["endpoints:call", "tools:call"];
/// So many that no request is refused.
const PLENTY: NonZeroU32 = NonZeroU32::MAX;

/// Runs every case.
///
/// # Errors
/// When a request is refused.
pub(super) async fn run(span: Duration) -> Result<Vec<Row>, Failure> {
    let parts = Bench::new().await?;
    let stack = parts.stack();
    let decided = async || per_call(Time::Cpu, REQUESTS, async |_| parts.decide().await).await;
    let asked = async || per_call(Time::Cpu, REQUESTS, async |_| parts.ask_cedar()).await;
    let [ours, bare] = in_turn(span, decided, asked).await?;
    let mut rows = vec![Row::less(NAME, "Cedar decision".to_owned(), "us", ours, bare)];
    let whole = async || parts.whole(&stack).await;
    let sum = async || parts.sum().await;
    let [ours, bare] = in_turn(span, whole, sum).await?;
    rows.push(Row::less(NAME, "all layers".to_owned(), "us", ours, bare));
    parts.tenancy.shutdown().await;
    Ok(rows)
}

/// A tenant with a policy in Cedar, a token of it, and three limits.
struct Bench {
    tenancy: Tenancy,
    authenticators: Authenticators,
    bearer: String,
    limiter: Arc<GcraLimiter>,
    authorizer: Arc<PolicyAuthorizer>,
    scope: Scope,
    head: Parts,
    limits: Vec<Limit>,
    cedar: Bare,
}

impl Bench {
    async fn new() -> Result<Self, Failure> {
        let config = TokenConfig::new("https://bench.example", "https://bench.example/mcp");
        let tenancy = Tenancy::open(TenancyDeps::memory(config)?).await?;
        let (operator, id) = (operator()?, tenant()?);
        let mut new = NewTenant::new(id.clone(), "Bench");
        new.profile.limits.requests_per_minute = PLENTY;
        tenancy.create_tenant(&operator, new).await?;
        let hour = Duration::from_secs(3600);
        let token = tenancy.issue_token(&operator, &id, &principal(&MAY)?, hour).await?;
        let bearer = format!("Bearer {}", token.token.expose());

        let authorization = Authorization::new(AuthorizationDeps::memory(Arc::new(NoDenials))?);
        let (policies, admin) = (authorization.policies(), scope(&["policies:*"])?);
        let text = PolicyText::new(Language::Cedar, cedar::POLICY);
        let draft = policies.draft(&admin, NewPolicy::new(text)).await?.head.version;
        policies.validate(&admin, draft).await?;
        policies.activate(&admin, draft, 0).await?;

        let scope = scope(&MAY)?;
        let limits = vec![
            Limit::tenant(PLENTY),
            Limit::principal(&scope.principal().id, PLENTY),
            Limit::per_minute(format!("route/* {PATH}").into(), PLENTY),
        ];
        let head = request(&bearer)?.into_parts().0;
        Ok(Self {
            authenticators: tenancy.authenticators(),
            tenancy,
            bearer,
            limiter: Arc::new(GcraLimiter::default()),
            authorizer: authorization.authorizer().clone(),
            scope,
            head,
            limits,
            cedar: Bare::new()?,
        })
    }

    /// The layers as the platform has them, inside of them nothing.
    fn stack(
        &self,
    ) -> impl Service<
        Request<Empty<Bytes>>,
        Response = Response<impl Send + use<>>,
        Error = mcp_core::Error,
        Future: Send,
    > + Clone
    + use<> {
        let log: Arc<dyn DenialLog> = Arc::new(NoDenials);
        let policy = LimitPolicy {
            principal_per_minute: Some(PLENTY),
            routes: vec![RouteLimit { path: PATH.to_owned(), method: None, per_minute: PLENTY }],
            ..LimitPolicy::default()
        };
        let limits = RateLimitLayer::new(self.limiter.clone(), log.clone()).with_policy(Arc::new(policy));
        ServiceBuilder::new()
            .layer(AuthenticateLayer::new(self.authenticators.clone(), log.clone()))
            .layer(TenantLayer::new(self.tenancy.directory().clone(), log))
            .layer(limits)
            .layer(AuthorizeLayer::new(self.authorizer.clone(), Arc::new(endpoint)))
            .service(service_fn(async |request: Request<Empty<Bytes>>| {
                std::hint::black_box(request);
                Ok::<_, mcp_core::Error>(Response::new(Empty::<Bytes>::new()))
            }))
    }

    /// What a request through all layers takes.
    async fn whole<S, B>(&self, stack: &S) -> Result<f64, Failure>
    where
        S: Service<Request<Empty<Bytes>>, Response = Response<B>, Error = mcp_core::Error> + Clone,
    {
        let requests = (0..REQUESTS).map(|_| request(&self.bearer)).collect::<Result<Vec<_>, _>>()?;
        let mut requests = requests.into_iter();
        per_call(Time::Cpu, REQUESTS, async |_| {
            let request = requests.next().ok_or("too few requests")?;
            stack.clone().oneshot(request).await?;
            Ok(())
        })
        .await
    }

    /// What the parts take, one after the other, each called as if there were no layers.
    async fn sum(&self) -> Result<f64, Failure> {
        let authenticate = per_call(Time::Cpu, REQUESTS, async |_| {
            std::hint::black_box(self.authenticators.authenticate(&self.head).await?);
            Ok(())
        });
        let mut sum = authenticate.await?;
        sum += per_call(Time::Cpu, REQUESTS, async |_| {
            let known = self.tenancy.directory().resolve(self.scope.tenant()).await?;
            std::hint::black_box(known.ok_or("there is no such tenant")?);
            Ok(())
        })
        .await?;
        sum += per_call(Time::Cpu, REQUESTS, async |_| {
            let decision = self.limiter.check(&self.scope, &self.limits, NonZeroU32::MIN).await?;
            if decision.is_some_and(|decision| decision.allowed) { Ok(()) } else { Err("limited".into()) }
        })
        .await?;
        Ok(sum + per_call(Time::Cpu, REQUESTS, async |_| self.ask_cedar()).await?)
    }

    /// Our way to a decision: roles, boundary, the tenant's policy, the record for dry runs.
    async fn decide(&self) -> Result<(), Failure> {
        let access = endpoint(&self.scope, &self.head)?.ok_or("the request is for nothing")?;
        Ok(self.authorizer.authorize(&self.scope, &access).await?)
    }

    fn ask_cedar(&self) -> Result<(), Failure> {
        self.cedar.decide(self.scope.tenant().as_str(), &MAY, PATH)
    }
}

fn request(bearer: &str) -> Result<Request<Empty<Bytes>>, Failure> {
    let request = Request::builder()
        .method(Method::POST)
        .uri(PATH)
        .header("authorization", bearer)
        .header("x-tenant-id", "bench")
        .header("content-type", "application/json");
    Ok(request.body(Empty::new())?)
}
