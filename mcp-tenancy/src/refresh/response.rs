//! What the token endpoint answers.

use mcp_core::{
    key::Secret,
    scope::{Permissions, PrincipalId, TenantId},
};
use serde::{Serialize, Serializer};

/// The answer to a grant: an access token, and the refresh token that leads to the next.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub struct TokenResponse {
    /// The JWT.
    #[serde(serialize_with = "exposed")]
    #[cfg_attr(feature = "http-api", schema(value_type = String))]
    pub access_token: Secret<String>,
    /// `Bearer`.
    pub token_type: &'static str,
    /// Seconds until the access token ends.
    pub expires_in: u64,
    /// Good once; the answer to its redemption has the next.
    #[serde(serialize_with = "exposed")]
    #[cfg_attr(feature = "http-api", schema(value_type = String))]
    pub refresh_token: Secret<String>,
    /// The tenant both are for.
    pub tenant_id: TenantId,
    /// The principal both are for.
    pub user_id: PrincipalId,
    /// What the access token allows.
    pub permissions: Permissions,
}

/// The one place where these secrets are written out: to whom they were made for.
fn exposed<S: Serializer>(secret: &Secret<String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}
