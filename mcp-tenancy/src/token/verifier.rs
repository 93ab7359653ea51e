//! Verifying tokens.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::crypto;
use mcp_core::{
    Result,
    clock::{Clock, Timestamp},
    scope::{Principal, TenantId},
};

use super::{
    Claims, Keyring, MAX_TOKEN_LEN, TokenConfig,
    claims::{Header, TYPE, Unverified},
};
use crate::{
    auth::{Identity, TokenFacts, TokenKey, VerifiedTokens, is_jwt, refused},
    revocation::RevocationDirectory,
    tenant::TenantDirectory,
};

/// How long verified tokens are kept in memory. It bounds how long a token lives on after its key is gone.
const CACHED_FOR: std::time::Duration = std::time::Duration::from_secs(60);
/// How far in the future `nbf` and `iat` may lie, for clocks of replicas that differ. `exp` gets no such allowance.
const NBF_LEEWAY_SECS: i64 = 5;

/// Verifies the platform's own tokens.
///
/// The key is the one of that `kid` among the keys of the tenant in `iss`, so one tenant's key never vouches
/// for another. The algorithm is the key's, whatever the header says: a header that says otherwise is refused.
/// Times and revocations are checked again on every use of a token that was verified before; a key that was
/// removed elsewhere stops verifying within 90 seconds.
#[derive(Debug)]
pub struct TokenVerifier {
    keyring: Arc<Keyring>,
    directory: Arc<TenantDirectory>,
    config: TokenConfig,
    verified: VerifiedTokens<VerifiedToken>,
}

/// What a good token says.
#[derive(Debug)]
pub struct VerifiedToken {
    /// Its claims.
    pub claims: Claims,
    /// Whom it speaks for.
    pub identity: Identity,
}

/// Whether a token is good.
#[derive(Debug)]
pub enum Verdict {
    /// It is.
    Good(Arc<VerifiedToken>),
    /// Of another issuer, as far as it says: for another verifier to judge.
    Foreign,
}

impl TokenVerifier {
    /// Verifies by the keys of `keyring`, for the tenants of `directory`, what `revocations` do not refuse.
    #[must_use]
    pub fn new(
        keyring: Arc<Keyring>,
        directory: Arc<TenantDirectory>,
        revocations: Arc<RevocationDirectory>,
        clock: Arc<dyn Clock>,
        config: TokenConfig,
    ) -> Self {
        let verified = VerifiedTokens::new(CACHED_FOR, NBF_LEEWAY_SECS, clock, revocations);
        Self { keyring, directory, config, verified }
    }

    /// Verifies a token.
    ///
    /// # Errors
    /// [`Unauthenticated`](mcp_core::ErrorKind::Unauthenticated) with the reason in its context only,
    /// [`Unavailable`](mcp_core::ErrorKind::Unavailable) if the keys are away.
    pub async fn verify(&self, token: &str) -> Result<Verdict> {
        if token.len() > MAX_TOKEN_LEN {
            return Err(refused("the token is too long"));
        }
        if !is_jwt(token) {
            return Ok(Verdict::Foreign);
        }
        let key = TokenKey::new(&["platform", &self.config.audience], token);
        if let Some(verified) = self.verified.get(&key).await? {
            return Ok(Verdict::Good(verified));
        }
        let Some(claims) = self.verify_afresh(token).await? else { return Ok(Verdict::Foreign) };
        let (facts, identity) = (facts(&claims), identity(&claims));
        self.verified.keep(key, facts, VerifiedToken { identity, claims }).await.map(Verdict::Good)
    }

    /// Forgets which tokens were found good: called where a key was just removed.
    pub(super) fn forget(&self) {
        self.verified.forget_all();
    }

    async fn verify_afresh(&self, token: &str) -> Result<Option<Claims>> {
        let (message, signature) = token.rsplit_once('.').ok_or_else(|| refused("not a JWT"))?;
        let (header, payload) = message.split_once('.').ok_or_else(|| refused("not a JWT"))?;
        let payload = decode(payload)?;
        let unverified: Unverified = parse(&payload)?;
        let Some(tenant) = self.tenant_of(&unverified.iss)? else { return Ok(None) };
        let header: Header = parse(&decode(header)?)?;
        if header.typ != TYPE {
            return Err(refused("not an access token"));
        }
        if !is_kid(&header.kid) {
            return Err(refused("a malformed key id"));
        }
        // Only tenants that exist have keys: an invented one costs no question to the key store.
        if self.directory.resolve(&tenant).await?.is_none() {
            return Err(refused("a tenant that does not exist"));
        }
        let key = self.keyring.verifying(&tenant, &header.kid).await?;
        let key = key.ok_or_else(|| refused("a key the tenant does not have"))?;
        if header.alg != key.algorithm.as_str() {
            return Err(refused("an algorithm the key is not for"));
        }
        let algorithm = key.algorithm.jwt();
        let good = crypto::verify(signature, message.as_bytes(), &key.key, algorithm).unwrap_or(false);
        if !good {
            return Err(refused("a wrong signature"));
        }
        let claims: Claims = parse(&payload)?;
        if claims.iss != self.config.issuer_of(&tenant) || claims.tenant_id != tenant {
            return Err(refused("issuer and tenant claim that disagree"));
        }
        if !claims.aud.contains(&self.config.audience) {
            return Err(refused("a token for another audience"));
        }
        Ok(Some(claims))
    }

    /// The tenant whose token it says to be; `None` for another issuer's.
    fn tenant_of(&self, iss: &str) -> Result<Option<TenantId>> {
        let Some(path) = iss.strip_prefix(self.config.issuer.as_str()) else { return Ok(None) };
        let Some(tenant) = path.strip_prefix("/t/") else { return Ok(None) };
        TenantId::parse(tenant).map(Some).map_err(|_| refused("a malformed issuer"))
    }
}

fn facts(claims: &Claims) -> TokenFacts {
    TokenFacts {
        tenant: claims.tenant_id.clone(),
        issuer: claims.iss.as_str().into(),
        id: Some(claims.jti.as_str().into()),
        issued_at: Some(claims.iat),
        not_before: Some(claims.nbf),
        expires_at: Some(claims.exp),
    }
}

fn identity(claims: &Claims) -> Identity {
    let principal = Principal {
        id: claims.sub.clone(),
        kind: claims.principal_kind,
        permissions: claims.permissions.clone(),
    };
    Identity {
        tenant: claims.tenant_id.clone(),
        principal: Arc::new(principal),
        credential: format!("token/{}", claims.jti).into(),
        expires_at: Some(Timestamp::from_micros(claims.exp.saturating_mul(1_000_000))),
    }
}

fn is_kid(kid: &str) -> bool {
    (1..=64).contains(&kid.len()) && kid.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

fn decode(part: &str) -> Result<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| refused("not a JWT"))
}

fn parse<T: serde::de::DeserializeOwned>(json: &[u8]) -> Result<T> {
    serde_json::from_slice(json).map_err(|_| refused("a header or claim missing, unknown or of a wrong type"))
}
