//! Who may do what, as whom, and how much: the tenants of a platform.
//!
//! A [`Tenancy`] puts these together: [`tenant`]s and the directory every request asks, API [`key`]s,
//! [`token`]s signed with keys of the tenant, [`refresh`] tokens that lead from one to the next, client
//! [`certificate`]s, and what the [`layer`]s need to apply them. Each store is a trait
//! with a backend in memory, in SQLite (feature `sqlite`) and in PostgreSQL (feature `postgres`); they mean
//! the same, which the suite in `conformance` shows.
//!
//! Beside the platform's own credentials, tokens of foreign [`issuer`]s are taken, per tenant or shared (feature
//! `issuers`). Any token can be [revoked](revocation), and all of a tenant's at once.
//!
//! The way of a request: [`AuthenticateLayer`](layer::AuthenticateLayer) finds out as whom it comes,
//! [`TenantLayer`](layer::TenantLayer) for which tenant and whether that tenant may be used, and
//! [`RateLimitLayer`](layer::RateLimitLayer) whether it is within its limits; how much a tenant may use in a
//! day or month is said by [`quota`]s. What is inside finds a [`Scope`](mcp_core::Scope) in the request's
//! extensions and cannot be reached without one. What may be done there is decided by [`role`]s and
//! [`policy`], in [`AuthorizeLayer`](layer::AuthorizeLayer) where the request tells. Requests of
//! [`operator`]s, who act above tenants, go through layers of their own.
//!
//! ```
//! use std::sync::Arc;
//!
//! use http::{Request, Response};
//! use mcp_core::{
//!     PlatformScope, Scope,
//!     audit::{AuditRecord, Chain, DenialLog},
//!     scope::{Permissions, PrincipalId, TenantId},
//! };
//! use mcp_tenancy::{
//!     Tenancy, TenancyDeps,
//!     key::NewApiKey,
//!     layer::{AuthenticateLayer, RateLimitLayer, TenantLayer},
//!     limit::GcraLimiter,
//!     tenant::NewTenant,
//!     token::TokenConfig,
//! };
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! #[derive(Debug)]
//! struct Stderr;
//! impl DenialLog for Stderr {
//!     fn denied(&self, chain: Chain, record: AuditRecord) {
//!         eprintln!("{chain:?} {record:?}");
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let tokens = TokenConfig::new("https://platform.example", "https://platform.example/mcp");
//! let tenancy = Tenancy::open(TenancyDeps::memory(tokens)?).await?;
//!
//! let admin = PlatformScope::new(PrincipalId::parse("operator")?, "set up a new customer");
//! let acme = tenancy.create_tenant(&admin, NewTenant::new(TenantId::parse("acme")?, "Acme Corp")).await?;
//! let new = NewApiKey::service(acme.id, "ci", "ci-robot", Permissions::parse(["tools:call"])?)?;
//! let key = tenancy.create_key(&admin, new).await?;
//!
//! let denials: Arc<dyn DenialLog> = Arc::new(Stderr);
//! let service = ServiceBuilder::new()
//!     .layer(AuthenticateLayer::new(tenancy.authenticators(), denials.clone()))
//!     .layer(TenantLayer::new(tenancy.directory().clone(), denials.clone()))
//!     .layer(RateLimitLayer::new(Arc::new(GcraLimiter::default()), denials))
//!     .service(service_fn(async |request: Request<()>| {
//!         let scope = request.extensions().get::<Scope>().ok_or_else(|| {
//!             mcp_core::Error::internal("example", "no scope")
//!         })?;
//!         let body = format!("{} of {}", scope.principal().id, scope.tenant());
//!         Ok::<_, mcp_core::Error>(Response::new(body))
//!     }));
//!
//! let request = Request::builder()
//!     .header("authorization", format!("Bearer {}", key.text.expose()))
//!     .header("x-tenant-id", "acme");
//! let response = service.oneshot(request.body(())?).await?;
//! assert_eq!(response.headers()["ratelimit-remaining"], "599");
//! tenancy.shutdown().await;
//! # Ok(())
//! # }
//! ```

pub mod auth;
pub mod certificate;
#[cfg(feature = "conformance")]
pub mod conformance;
mod data_keys;
pub mod erasure;
#[cfg(feature = "issuers")]
pub mod foreign;
#[cfg(feature = "http-api")]
pub mod http_api;
pub mod issuer;
pub mod key;
pub mod layer;
pub mod limit;
pub mod operator;
pub mod pii;
pub mod policy;
pub mod quota;
pub mod refresh;
pub mod revocation;
pub mod role;
#[cfg(feature = "http-api")]
mod schema;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod sql;
mod tenancy;
pub mod tenant;
pub mod token;

#[cfg(feature = "postgres")]
pub use sql::POSTGRES_MIGRATIONS;
#[cfg(feature = "sqlite")]
pub use sql::SQLITE_MIGRATIONS;
pub use tenancy::{Tenancy, TenancyDeps};
pub use tenant::Loaded;
