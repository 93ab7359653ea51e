//! `/api/v1/audit`: the audit chain of the caller's tenant, latest first.

use std::sync::Arc;

use axum::{Extension, extract::State};
use mcp_core::{
    Scope,
    audit::{self, AuditPage, AuditQuery, AuditView},
    http_api::{ApiError, Json, Listing, Query, require},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::platform::Platform;

/// One page of audit records.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Records {
    items: Vec<AuditView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// One page of the tenant's own records; needs `audit:read`.
#[utoipa::path(
    get,
    path = "/api/v1/audit",
    params(Listing),
    responses((status = 200, description = "The records, latest first.", body = Records)),
)]
pub(super) async fn list(
    State(platform): State<Arc<Platform>>,
    Extension(scope): Extension<Scope>,
    Query(listing): Query<Listing>,
) -> Result<Json<Records>, ApiError> {
    require(&*platform.denials(), &scope, "audit:read", "audit")?;
    let query = AuditQuery { limit: listing.limit, cursor: listing.cursor, oldest_first: false };
    let page = audit::list(&*platform.administration().audit(), &scope, &query).await?;
    Ok(Json(page.into()))
}

impl From<AuditPage> for Records {
    fn from(page: AuditPage) -> Self {
        Self { items: page.records, next_cursor: page.next_cursor }
    }
}
