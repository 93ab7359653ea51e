//! Issuing tokens.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use mcp_core::{
    Error, Result,
    clock::{Clock, Timestamp},
    key::Secret,
    scope::{Principal, RequestId, TenantId},
};
use serde::Serialize;

use super::{
    Claims, Keyring, MAX_TOKEN_LEN, SigningAlgorithm,
    claims::{Header, TYPE},
    keyring::Signing,
};
use crate::refresh::RefreshConfig;

/// Who issues tokens and what they are for.
#[derive(Debug, Clone)]
pub struct TokenConfig {
    /// The platform's URL without a slash at the end; a tenant's issuer is `{issuer}/t/{tenant}`.
    pub issuer: String,
    /// The resource tokens are for (RFC 8707): the URL of the MCP endpoint.
    pub audience: String,
    /// Longest life of a token. Default 24 hours.
    pub max_lifetime: Duration,
    /// What a tenant's first key signs with; later ones by [`Rotation`](super::Rotation). Default EdDSA.
    pub algorithm: SigningAlgorithm,
    /// How long tokens of grants live.
    pub refresh: RefreshConfig,
}

impl TokenConfig {
    /// With the default life.
    #[must_use]
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        let issuer = issuer.into().trim_end_matches('/').to_owned();
        Self {
            issuer,
            audience: audience.into(),
            max_lifetime: Duration::from_secs(24 * 3600),
            algorithm: SigningAlgorithm::default(),
            refresh: RefreshConfig::default(),
        }
    }

    /// The issuer of a tenant's tokens.
    #[must_use]
    pub fn issuer_of(&self, tenant: &TenantId) -> String {
        format!("{}/t/{tenant}", self.issuer)
    }
}

/// A token that was just issued.
#[derive(Debug, Clone)]
pub struct IssuedToken {
    /// The token.
    pub token: Secret<String>,
    /// Its id, `jti`: not a secret.
    pub id: RequestId,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Issues tokens signed with the tenant's own key.
#[derive(Debug, Clone)]
pub struct TokenIssuer {
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    config: TokenConfig,
}

impl TokenIssuer {
    /// Signs with the keys of `keyring`.
    #[must_use]
    pub fn new(keyring: Arc<Keyring>, clock: Arc<dyn Clock>, config: TokenConfig) -> Self {
        Self { keyring, clock, config }
    }

    /// Closes the tenant's signing key here; it is opened again when it is needed and can be.
    pub(crate) async fn forget(&self, tenant: &TenantId) {
        self.keyring.forget(tenant).await;
    }

    /// Issues a token for `principal` of `tenant`, good from now for `lifetime` (whole seconds).
    ///
    /// Whoever calls this has made sure that the tenant exists and that the principal may have it.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) for a life of less than a second or over the
    /// configured maximum, or more permissions than fit into a token of 8 KiB;
    /// [`Unavailable`](mcp_core::ErrorKind::Unavailable) if the keys are away.
    pub async fn issue(
        &self,
        tenant: &TenantId,
        principal: &Principal,
        lifetime: Duration,
    ) -> Result<IssuedToken> {
        if lifetime < Duration::from_secs(1) || lifetime > self.config.max_lifetime {
            return Err(Error::invalid_input(
                "token.issue",
                format!("a token's life must be between 1 and {} s", self.config.max_lifetime.as_secs()),
            ));
        }
        let signing = self.keyring.signing(tenant).await?;
        let now = self.clock.now().as_secs();
        let exp = now.saturating_add(i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX));
        let claims = Claims {
            iss: self.config.issuer_of(tenant),
            aud: vec![self.config.audience.clone()],
            sub: principal.id.clone(),
            principal_kind: principal.kind,
            tenant_id: tenant.clone(),
            permissions: principal.permissions.clone(),
            iat: now,
            nbf: now,
            exp,
            jti: RequestId::generate(),
        };
        let alg = signing.algorithm.as_str().to_owned();
        let header = Header { alg, typ: TYPE.to_owned(), kid: signing.kid.clone() };
        let message = format!("{}.{}", encode(&header)?, encode(&claims)?);
        let token = sign(signing, message).await?;
        if token.len() > MAX_TOKEN_LEN {
            return Err(Error::invalid_input(
                "token.issue",
                format!("the permissions do not fit into a token of {MAX_TOKEN_LEN} bytes; use wildcards"),
            ));
        }
        let expires_at = Timestamp::from_micros(exp.saturating_mul(1_000_000));
        Ok(IssuedToken { token: Secret::new(token), id: claims.jti, expires_at })
    }
}

/// `message` with its signature behind it.
async fn sign(signing: Arc<Signing>, mut message: String) -> Result<String> {
    let slow = signing.key.is_slow();
    let work = move || {
        let signature = signing.key.sign(message.as_bytes())?;
        message.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut message);
        Ok(message)
    };
    if !slow {
        return work();
    }
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::internal("token.issue", "signing failed").with_source(error))?
}

fn encode(part: &impl Serialize) -> Result<String> {
    let json = serde_json::to_vec(part)
        .map_err(|error| Error::internal("token.issue", "cannot write the token").with_source(error))?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}
