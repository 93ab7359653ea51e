//! `POST /api/v1/auth/token` and `/api/v1/auth/logout`.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header, request::Parts};
use mcp_core::{
    PlatformScope, Result,
    http_api::{ApiError, Body, Json},
    key::Secret,
    scope::{Permission, PrincipalId, RequestId},
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::Api;
use crate::{
    auth::Identity,
    refresh::{TokenRequest, TokenResponse},
};

/// What a token is asked for with.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = TokenGrant)]
#[serde(tag = "grant_type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Grant {
    /// With the API key in the request's header.
    ApiKey {
        /// What the token shall allow; everything that the key does by default.
        permissions: Option<Vec<Permission>>,
        /// Its life in seconds; an hour by default.
        expires_in: Option<u64>,
    },
    /// With the refresh token of an earlier answer; no other credential is looked at, and none may be sent.
    RefreshToken {
        /// The token.
        #[schema(value_type = String)]
        refresh_token: Secret<String>,
        /// What the access token shall allow; everything that the lineage does by default.
        permissions: Option<Vec<Permission>>,
        /// Its life in seconds; an hour by default.
        expires_in: Option<u64>,
    },
}

/// Grants an access token and a refresh token. Nothing of the answer may be cached.
#[utoipa::path(
    post,
    path = "/api/v1/auth/token",
    request_body = Grant,
    security(("tenant" = []), ("tenant_api_key" = []), ()),
    responses((status = 200, description = "The tokens.", body = TokenResponse)),
)]
pub(super) async fn grant(
    State(api): State<Arc<Api>>,
    mut request: Parts,
    Body(grant): Body<Grant>,
) -> Result<Response, ApiError> {
    let granted = match grant {
        Grant::ApiKey { permissions, expires_in } => {
            let identity = api.tenancy.authenticators().authenticate(&request).await;
            let identity = identity.inspect_err(|error| api.admission.refused(&request, error))?;
            let decision = api.admission.admit(&mut request, identity.clone()).await?;
            let scope = on_behalf_of(&identity, &request)?;
            let wanted = wanted(permissions, expires_in);
            (api.tenancy.grant_for_key(&scope, &identity, wanted).await?, decision)
        }
        Grant::RefreshToken { refresh_token, permissions, expires_in } => {
            let redeemed = redeem(&api, &mut request, &refresh_token, wanted(permissions, expires_in)).await;
            redeemed.inspect_err(|error| api.admission.refused(&request, error))?
        }
    };
    let (response, decision): (TokenResponse, _) = granted;
    let mut response = Json(response).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(decision) = decision {
        decision.write_headers(response.headers_mut());
    }
    Ok(response)
}

/// The refresh token whose lineage is to end.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Logout {
    /// Any token of the lineage, the last one or one that it replaced.
    #[schema(value_type = String)]
    refresh_token: Secret<String>,
}

/// Ends the lineage of a refresh token: none of its tokens is redeemed any more, on every replica at once. Access tokens
/// that are out live to their end. Whoever holds the token needs no other credential and may send none; a token
/// that never was, or whose lineage has ended, is answered in the same way.
#[utoipa::path(
    post,
    path = "/api/v1/auth/logout",
    request_body = Logout,
    security(("tenant" = []), ("tenant_api_key" = []), ()),
    responses((status = 204, description = "No token of that lineage is good.")),
)]
pub(super) async fn logout(
    State(api): State<Arc<Api>>,
    request: Parts,
    Body(Logout { refresh_token }): Body<Logout>,
) -> Result<StatusCode, ApiError> {
    api.tenancy.revoke_refresh_token(&endpoint(&request, "log out")?, &refresh_token).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn redeem(
    api: &Api,
    request: &mut Parts,
    token: &Secret<String>,
    wanted: TokenRequest,
) -> Result<(TokenResponse, Option<mcp_core::limit::Decision>)> {
    if crate::auth::bearer(request)?.is_some() {
        return Err(crate::auth::refused("two credentials"));
    }
    let identity = api.tenancy.refresh_identity(&endpoint(request, "redeem")?, token).await?;
    let decision = api.admission.admit(request, identity.clone()).await?;
    let scope = on_behalf_of(&identity, request)?;
    Ok((api.tenancy.grant_for_refresh_token(&scope, token, wanted).await?, decision))
}

fn wanted(permissions: Option<Vec<Permission>>, expires_in: Option<u64>) -> TokenRequest {
    TokenRequest {
        permissions: permissions.map(|list| list.into_iter().collect()),
        lifetime: expires_in.map(Duration::from_secs),
    }
}

/// The scope of a tenant's principal that is given tokens of its own.
fn on_behalf_of(identity: &Identity, request: &Parts) -> Result<PlatformScope> {
    let (tenant, principal) = (&identity.tenant, &identity.principal.id);
    let actor: String = format!("{tenant}/{principal}").chars().take(128).collect();
    let reason = format!("{principal} of {tenant} is granted tokens for {}", identity.credential);
    Ok(with_request_id(PlatformScope::new(PrincipalId::parse(&actor)?, reason), request))
}

/// The scope of what is asked for with a refresh token, as long as nobody knows whose it is.
fn endpoint(request: &Parts, reason: &str) -> Result<PlatformScope> {
    Ok(with_request_id(PlatformScope::new(PrincipalId::parse("token-endpoint")?, reason), request))
}

fn with_request_id(scope: PlatformScope, request: &Parts) -> PlatformScope {
    match request.extensions.get::<RequestId>() {
        Some(id) => scope.with_request_id(id.clone()),
        None => scope,
    }
}
