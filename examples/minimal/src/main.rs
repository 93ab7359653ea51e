//! An axum program of your own with two crates of the SDK: `mcp-tenancy` decides who calls, `mcp-automation`
//! serves the tenant's MCP servers. Run it beside an `.mcp.json`:
//!
//! ```text
//! cargo run -p mcp-minimal
//! ```

#![expect(clippy::print_stdout, reason = "says where it serves")]

use std::sync::Arc;

use axum::{Router, body::Body, extract::Request, routing};
use mcp_automation::{
    fleet::{Fleet, FleetConfig, FleetSpec, launcher},
    gateway::{Gateway, GatewayConfig},
};
use mcp_core::{PlatformScope, audit::LoggedDenials, clock::SystemClock, layer, scope};
use mcp_tenancy::{
    Tenancy, TenancyDeps, key::NewApiKey, limit::GcraLimiter, tenant::NewTenant, token::TokenConfig,
};
use tower::{ServiceBuilder, ServiceExt as _};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), BoxError> {
    launcher::run_if_launched(); // stdio servers run under this program as their launcher
    tokio::runtime::Runtime::new()?.block_on(serve())
}

async fn serve() -> Result<(), BoxError> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);

    // Tenants and keys, in memory here; SQLite and Postgres have the same stores.
    let tenancy = Tenancy::open(TenancyDeps::memory(TokenConfig::new(&url, format!("{url}/mcp")))?).await?;
    let operator = PlatformScope::new(scope::PrincipalId::parse("operator")?, "set up the example");
    let acme =
        tenancy.create_tenant(&operator, NewTenant::new(scope::TenantId::parse("acme")?, "Acme")).await?;
    let key = NewApiKey::service(acme.id, "example", "me", scope::Permissions::parse(["*"])?)?;
    let key = tenancy.create_key(&operator, key).await?;

    // The servers of `.mcp.json`, one process per tenant, behind one endpoint.
    let servers = std::fs::read_to_string(".mcp.json")?;
    let spec = FleetSpec::parse(".mcp.json", &servers, &std::env::vars().collect())?;
    let fleet = Arc::new(Fleet::new(spec, FleetConfig::default()));
    let (denials, clock) = (Arc::new(LoggedDenials), Arc::new(SystemClock));
    let gateway = Gateway::new(GatewayConfig::default(), fleet.clone(), clock, denials.clone())?;

    // The stack: who, for which tenant, how often; inside it the gateway, around it what makes errors answers.
    let mcp = ServiceBuilder::new()
        .layer(layer::RequestIdLayer)
        .layer(layer::RescueLayer::default())
        .layer(mcp_tenancy::layer::AuthenticateLayer::new(tenancy.authenticators(), denials.clone()))
        .layer(mcp_tenancy::layer::TenantLayer::new(tenancy.directory().clone(), denials.clone()))
        .layer(mcp_tenancy::layer::RateLimitLayer::new(Arc::new(GcraLimiter::default()), denials))
        .service(
            gateway.map_request(|request: Request| request).map_response(|response| response.map(Body::new)),
        );
    let app = Router::new()
        .route("/", routing::get(async || "a page of your own"))
        .route("/mcp", routing::any_service(mcp));

    println!("POST {url}/mcp with Authorization: Bearer {}", key.text.expose());
    let stop = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
    axum::serve(listener, app).with_graceful_shutdown(stop).await?;
    fleet.shutdown(std::time::Duration::from_secs(5)).await;
    tenancy.shutdown().await;
    Ok(())
}
