//! What an administrator, and a principal that may, does with API keys beyond making and revoking them.

use std::time::Duration;

use mcp_core::{Error, PlatformScope, Result, scope::TenantId};

use super::{IssuedKey, KeyId, NewApiKey, PREFIX, generate_secret, store::not_found};
use crate::{Tenancy, auth::Identity};

/// Longest overlap of a key's rotation: 90 days.
pub const MAX_OVERLAP: Duration = Duration::from_secs(90 * 24 * 3600);

/// The permission to make keys that act as another principal.
const ASSUME: &str = "principals:assume";

impl NewApiKey {
    /// The same key as `maker` may make it: of its own tenant, with no permission that it does not hold, as
    /// itself unless it holds `principals:assume`, and gone no later than its own credential. A key without
    /// an end gets the maker's.
    ///
    /// # Errors
    /// [`PermissionDenied`](mcp_core::ErrorKind::PermissionDenied) that names what the maker lacks.
    pub fn made_by(mut self, maker: &Identity) -> Result<Self> {
        let denied = |message| Error::permission_denied("key.create", message);
        if self.tenant != maker.tenant {
            return Err(denied("a key can be made for one's own tenant only".to_owned()));
        }
        let held = &maker.principal.permissions;
        if let Some(missing) = self.principal.permissions.iter().find(|wanted| !held.allows(wanted.as_str()))
        {
            return Err(denied(format!(
                "a key cannot be given `{missing}`, which its creator does not have"
            )));
        }
        if self.principal.id != maker.principal.id && !held.allows(ASSUME) {
            return Err(denied(format!("a key of another principal needs the permission `{ASSUME}`"))
                .with_detail(mcp_core::error::Detail::MissingScope { scope: ASSUME }));
        }
        match (self.expires_at, maker.expires_at) {
            (Some(wanted), Some(end)) if wanted > end => Err(denied(format!(
                "`expires_at` can be {end} at the latest, when its creator's credential ends"
            ))),
            (wanted, end) => {
                self.expires_at = wanted.or(end);
                Ok(self)
            }
        }
    }
}

impl Tenancy {
    /// Creates an API key on behalf of `maker`, whose request it is: as [`NewApiKey::made_by`].
    ///
    /// # Errors
    /// As [`NewApiKey::made_by`] and [`create_key`](Self::create_key).
    pub async fn mint_key(
        &self,
        scope: &PlatformScope,
        maker: &Identity,
        new: NewApiKey,
    ) -> Result<IssuedKey> {
        self.create_key(scope, new.made_by(maker)?).await
    }

    /// Rotates a key on behalf of `maker`, whose request it is. Whoever learns a key's new secret can act as the key
    /// does, so that `maker` must be one who could have made it: [`NewApiKey::made_by`], and with its end.
    ///
    /// # Errors
    /// `NotFound` for a key of another tenant too, [`PermissionDenied`](mcp_core::ErrorKind::PermissionDenied) that
    /// names what `maker` lacks, as [`rotate_key`](Self::rotate_key).
    pub async fn rotate_key_for(
        &self,
        scope: &PlatformScope,
        maker: &Identity,
        id: &KeyId,
        overlap: Duration,
    ) -> Result<IssuedKey> {
        let found = self.keys.find(scope, id).await?.map(|stored| stored.key);
        let key = found.filter(|key| key.tenant == maker.tenant);
        let key = key.ok_or_else(|| not_found("key.rotate", id))?;
        let (principal, expires_at) = (key.principal(), key.expires_at);
        let as_new =
            NewApiKey { tenant: key.tenant, name: key.name, principal, expires_at }.made_by(maker)?;
        if as_new.expires_at != expires_at {
            let message =
                "the key lives for longer than the credential that would rotate it; use one that ends later";
            return Err(Error::permission_denied("key.rotate", message));
        }
        self.rotate_key(scope, &maker.tenant, id, overlap).await
    }

    /// Gives a key a new secret under the same id. The one before is good for `overlap` more, zero for not at
    /// all; one before that ends now. Expiry and permissions stay as they are.
    ///
    /// The new secret works here at once, elsewhere within a second.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) for an overlap longer than [`MAX_OVERLAP`], as
    /// [`KeyStore::rotate`](super::KeyStore::rotate).
    pub async fn rotate_key(
        &self,
        scope: &PlatformScope,
        tenant: &TenantId,
        id: &KeyId,
        overlap: Duration,
    ) -> Result<IssuedKey> {
        if overlap > MAX_OVERLAP {
            let days = MAX_OVERLAP.as_secs() / (24 * 3600);
            return Err(Error::invalid_input("key.rotate", format!("`overlap` can be {days} days at most")));
        }
        let (digest, text) = generate_secret(PREFIX, id)?;
        let until = (!overlap.is_zero()).then(|| self.clock.now().after(overlap));
        let key = self.keys.rotate(scope, tenant, id, digest, until).await?;
        self.api_keys.forget(id).await;
        Ok(IssuedKey { key, text })
    }
}
