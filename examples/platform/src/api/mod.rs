//! The platform's own REST API under `/api/v1`: what a tenant may see and change of itself, and, under
//! `/api/v1/operator`, what an operator may of all.
//!
//! Handlers carry their description; what is routed is what is described. What both may do with a tenant is described
//! once, and routed below both.

mod acting;
mod audit;
mod certificates;
mod credentials;
mod headers;
mod issuers;
mod keys;
pub(crate) mod openapi;
mod operator;
mod policies;
mod quotas;
mod roles;
mod servers;
mod signing_keys;
mod tenants;
mod tokens;

use std::sync::Arc;

use axum::Router;
use mcp_core::{Error, http_api::ApiError};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::platform::Platform;

pub(crate) use operator::ROOT as OPERATOR_ROOT;

/// What a tenant's callers reach; what is above it has made the scope.
pub(crate) fn of_tenants() -> Router<Arc<Platform>> {
    Router::from(described()).fallback(async || not_found())
}

/// What operators reach; what is above it has made the scope.
pub(crate) fn of_operators() -> Router<Arc<Platform>> {
    Router::from(operator::described()).fallback(async || not_found())
}

fn described() -> OpenApiRouter<Arc<Platform>> {
    OpenApiRouter::new()
        .routes(routes!(tenants::show))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::revoke))
        .routes(routes!(keys::rotate))
        .routes(routes!(signing_keys::list, signing_keys::rotate))
        .routes(routes!(signing_keys::remove))
        .routes(routes!(issuers::list, issuers::create))
        .routes(routes!(issuers::show, issuers::replace, issuers::remove))
        .routes(routes!(tokens::revoke))
        .routes(routes!(tokens::revoke_all))
        .routes(routes!(certificates::list))
        .routes(routes!(servers::list))
        .routes(routes!(audit::list))
        .routes(routes!(audit::export))
        .routes(routes!(policies::decide))
        .routes(routes!(quotas::usage))
        .nest("/api/v1", of_both())
}

/// What a tenant's callers do with their tenant, and operators with any: the paths begin where the tenant is named.
fn of_both() -> OpenApiRouter<Arc<Platform>> {
    OpenApiRouter::new()
        .routes(routes!(roles::list))
        .routes(routes!(roles::show, roles::put, roles::delete))
        .routes(routes!(roles::holders))
        .routes(routes!(roles::granted))
        .routes(routes!(roles::assign, roles::unassign))
        .routes(routes!(credentials::end))
        .routes(routes!(policies::list, policies::create))
        .routes(routes!(policies::active, policies::activate))
        .routes(routes!(policies::show))
        .routes(routes!(policies::validate))
        .routes(routes!(policies::dry_run))
}

fn not_found() -> ApiError {
    Error::not_found("api.route", "there is nothing at this path").into()
}
