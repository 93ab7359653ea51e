//! What an administrator does with a tenant's signing keys, and what everybody may know of them.

use std::time::Duration;

use jsonwebtoken::jwk::JwkSet;
use mcp_core::{PlatformScope, Result, clock::Timestamp, scope::TenantId};
use serde::Serialize;

use super::{KeyState, Rotation, SigningAlgorithm, SigningKey, keyring};
use crate::Tenancy;

/// A signing key as lists show it: no key material.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub struct SigningKeyInfo {
    /// Its name in the header of tokens.
    pub kid: String,
    /// What it signs with.
    pub algorithm: SigningAlgorithm,
    /// Where it is in its life.
    pub state: KeyState,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when it signs.
    pub active_from: Timestamp,
    /// From when it verifies nothing; `None` while no other follows it.
    pub verifies_until: Option<Timestamp>,
}

impl SigningKeyInfo {
    fn of(key: SigningKey, now: Timestamp) -> Self {
        Self {
            state: key.state(now),
            kid: key.kid,
            algorithm: key.algorithm,
            created_at: key.created_at,
            active_from: key.active_from,
            verifies_until: key.verifies_until,
        }
    }
}

impl Tenancy {
    /// The tenant's signing keys, newest first. A tenant that was never issued a token has none.
    ///
    /// # Errors
    /// [`NotFound`](mcp_core::ErrorKind::NotFound) if there is no such tenant,
    /// [`Unavailable`](mcp_core::ErrorKind::Unavailable).
    pub async fn signing_keys(
        &self,
        scope: &PlatformScope,
        tenant: &TenantId,
    ) -> Result<Vec<SigningKeyInfo>> {
        self.tenant(scope, tenant).await?;
        let (keys, now) = (self.signing_keys.keys(scope, tenant).await?, self.clock.now());
        Ok(keys.into_iter().map(|key| SigningKeyInfo::of(key, now)).collect())
    }

    /// Makes a new signing key for the tenant. It is published at once and signs after `rotation.lead`; the
    /// key that signs until then goes on verifying until the last token it signed has expired, so that no
    /// token is refused for the rotation.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) for a lead out of bounds, `NotFound`, as
    /// [`SigningKeyStore::rotate`](super::SigningKeyStore::rotate).
    pub async fn rotate_signing_key(
        &self,
        scope: &PlatformScope,
        tenant: &TenantId,
        rotation: Rotation,
    ) -> Result<SigningKeyInfo> {
        self.kept_tenant(scope, tenant).await?;
        let key = self.keyring.rotate(scope, tenant, rotation, self.overlap()).await?;
        Ok(SigningKeyInfo::of(key, self.clock.now()))
    }

    /// Removes a key that does not sign: a next one, or one whose private half may be known to others. What
    /// it signed verifies no more: here at once, elsewhere within 90 seconds.
    ///
    /// For a key that signs: rotate with the shortest lead, then remove it.
    ///
    /// # Errors
    /// As [`SigningKeyStore::remove`](super::SigningKeyStore::remove).
    pub async fn remove_signing_key(
        &self,
        scope: &PlatformScope,
        tenant: &TenantId,
        kid: &str,
    ) -> Result<SigningKeyInfo> {
        let now = self.clock.now();
        let removed = self.signing_keys.remove(scope, tenant, kid, now).await?;
        self.keyring.forget(tenant).await;
        self.verifier.forget();
        Ok(SigningKeyInfo::of(removed, now))
    }

    /// The public halves of the tenant's keys (RFC 7517), those of the next key included. A tenant that does
    /// not exist, is suspended or has no keys has none.
    ///
    /// # Errors
    /// [`Unavailable`](mcp_core::ErrorKind::Unavailable).
    pub async fn jwks(&self, tenant: &TenantId) -> Result<JwkSet> {
        // Only tenants that exist have keys: an invented one costs no question to the key store.
        match self.directory().resolve(tenant).await? {
            Some(known) if known.is_open() => self.keyring.jwks(tenant).await,
            _ => Ok(JwkSet { keys: Vec::new() }),
        }
    }

    /// The longest life of a token, and for how long another replica may go on signing with the key before.
    fn overlap(&self) -> Duration {
        self.tokens.max_lifetime.saturating_add(keyring::FRESH)
    }
}
