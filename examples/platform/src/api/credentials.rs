//! `/principals/{principal}/credentials`: the end of all that a principal may show.

use std::sync::Arc;

use axum::extract::State;
use mcp_core::{
    http_api::{ApiError, Json, Path, require},
    scope::PrincipalId,
};
use mcp_tenancy::auth::EndedCredentials;

use super::{acting::Acting, roles::OfPrincipal};
use crate::platform::Platform;

/// The permission to end credentials of principals.
const END_CREDENTIALS: &str = "credentials:end";

/// Ends every credential of a principal: its API keys, with the refresh tokens that were granted for them, and its
/// client certificates, on every replica within a second. Access tokens that are out live to their end, unless they
/// are revoked, and roles stay. Trying again ends what is left. Needs `credentials:end`.
#[utoipa::path(
    delete,
    path = "/principals/{principal}/credentials",
    params(("principal" = PrincipalId, Path)),
    responses((status = 200, description = "What was ended now.", body = EndedCredentials)),
)]
pub(super) async fn end(
    State(platform): State<Arc<Platform>>,
    acting: Acting,
    Path(OfPrincipal { principal }): Path<OfPrincipal>,
) -> Result<Json<EndedCredentials>, ApiError> {
    let scope = &acting.scope;
    require(&*platform.denials(), scope, END_CREDENTIALS, &format!("principal/{principal}"))?;
    let principal = PrincipalId::parse(&principal)?;
    let above = acting.above("ends the credentials of a principal")?;
    Ok(Json(platform.tenancy().end_credentials(&above, scope.tenant(), &principal).await?))
}
