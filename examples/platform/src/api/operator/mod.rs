//! `/api/v1/operator`: what an operator sees and changes, above all tenants. Reached with an operator key.

mod audit;
mod certificates;
mod data_keys;
mod issuers;
mod keys;
mod quotas;
mod servers;
mod signing_keys;
mod tenants;
mod tokens;

use std::sync::Arc;

use mcp_core::{Error, Result, scope::TenantId};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::platform::Platform;

/// What the paths of all this begin with.
pub(crate) const ROOT: &str = "/api/v1/operator";

/// The routes and their description; what is above them has made the scope.
pub(super) fn described() -> OpenApiRouter<Arc<Platform>> {
    OpenApiRouter::new()
        .routes(routes!(tenants::list, tenants::create))
        .routes(routes!(tenants::show, tenants::delete))
        .routes(routes!(tenants::restore))
        .routes(routes!(tenants::receipt))
        .routes(routes!(tenants::suspend))
        .routes(routes!(tenants::resume))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::revoke))
        .routes(routes!(keys::rotate))
        .routes(routes!(signing_keys::list, signing_keys::rotate))
        .routes(routes!(signing_keys::remove))
        .routes(routes!(tokens::revoke))
        .routes(routes!(tokens::revoke_all))
        .routes(routes!(certificates::list, certificates::register))
        .routes(routes!(certificates::revoke))
        .routes(routes!(issuers::list_of_tenant))
        .routes(routes!(issuers::list, issuers::create))
        .routes(routes!(issuers::show, issuers::replace, issuers::remove))
        .routes(routes!(audit::of_tenant))
        .routes(routes!(audit::export_of_tenant))
        .routes(routes!(quotas::list, quotas::set, quotas::remove))
        .routes(routes!(quotas::reset))
        .routes(routes!(quotas::usage))
        .routes(routes!(data_keys::rotate))
        .routes(routes!(data_keys::show))
        .routes(routes!(data_keys::rewrap))
        .routes(routes!(servers::list))
        .routes(routes!(servers::logs))
        .routes(routes!(servers::restart))
        .routes(routes!(audit::of_platform))
        .routes(routes!(audit::export_of_platform))
        .routes(routes!(audit::verify))
        .nest("/api/v1/operator/tenants/{tenant}", super::of_both())
}

/// The tenant a path names; what is no id is no tenant.
pub(super) fn tenant_id(text: &str) -> Result<TenantId> {
    TenantId::parse(text).map_err(|_| Error::not_found("tenant.get", format!("there is no tenant `{text}`")))
}
