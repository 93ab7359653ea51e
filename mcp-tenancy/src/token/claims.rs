//! What a token says.

use mcp_core::scope::{Permissions, PrincipalId, PrincipalKind, RequestId, TenantId};
use serde::{Deserialize, Serialize};

/// `typ` of an access token (RFC 9068): no other kind of JWT is mistaken for one.
pub(super) const TYPE: &str = "at+jwt";

/// The whole header. A parameter it does not have (`jku`, `x5u`, `jwk`, `crit` …) is refused.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    pub(super) alg: String,
    pub(super) typ: String,
    pub(super) kid: String,
}

/// The claims of an access token. Types are strict: times are integers, `aud` is an array.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// `{issuer}/t/{tenant}`.
    pub iss: String,
    /// The resources it is for.
    pub aud: Vec<String>,
    /// The principal.
    pub sub: PrincipalId,
    /// Person or program.
    pub principal_kind: PrincipalKind,
    /// The tenant; the one in `iss`.
    pub tenant_id: TenantId,
    /// What the principal may do.
    pub permissions: Permissions,
    /// When it was issued, seconds since the epoch.
    pub iat: i64,
    /// From when it is good.
    pub nbf: i64,
    /// From when it is not.
    pub exp: i64,
    /// Its id.
    pub jti: RequestId,
}

/// What is read of a token before its signature is checked: where to look for the key, nothing else.
#[derive(Deserialize)]
pub(super) struct Unverified {
    pub(super) iss: String,
}
