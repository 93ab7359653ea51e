//! Moving from one vault to another.

use std::sync::Arc;

use async_trait::async_trait;

use super::{KeyBytes, KeyPlace, KeyVault, WrappedKey};
use crate::error::{ErrorKind, Result};

/// A vault that took over from others: it wraps, and they open what they wrapped.
///
/// To move from a master key in a file to HashiCorp Vault: give all replicas the two like this, wrap all data keys
/// anew ([`DataKeys::rewrap_batch`](super::DataKeys::rewrap_batch)), then give them the new vault alone.
#[derive(Debug, Clone)]
pub struct VaultSuccession {
    current: Arc<dyn KeyVault>,
    earlier: Vec<Arc<dyn KeyVault>>,
}

impl VaultSuccession {
    /// `current` after `earlier`, of which those asked most come first.
    #[must_use]
    pub const fn new(current: Arc<dyn KeyVault>, earlier: Vec<Arc<dyn KeyVault>>) -> Self {
        Self { current, earlier }
    }

    /// What the first of the earlier vaults that knows it opens; `refused` if none does.
    async fn opened_by_earlier(
        &self,
        place: KeyPlace<'_>,
        wrapped: &WrappedKey,
        refused: crate::Error,
    ) -> Result<KeyBytes> {
        for vault in &self.earlier {
            match vault.unwrap_key(place, wrapped).await {
                Err(error) if error.kind() == ErrorKind::Corrupted => {}
                other => return other,
            }
        }
        Err(refused)
    }
}

#[async_trait]
impl KeyVault for VaultSuccession {
    async fn wrap_key(&self, place: KeyPlace<'_>, key: &KeyBytes) -> Result<WrappedKey> {
        self.current.wrap_key(place, key).await
    }

    async fn unwrap_key(&self, place: KeyPlace<'_>, wrapped: &WrappedKey) -> Result<KeyBytes> {
        match self.current.unwrap_key(place, wrapped).await {
            Err(error) if error.kind() == ErrorKind::Corrupted => {
                self.opened_by_earlier(place, wrapped, error).await
            }
            other => other,
        }
    }

    async fn rewrap_key(&self, place: KeyPlace<'_>, wrapped: &WrappedKey) -> Result<Option<WrappedKey>> {
        match self.current.rewrap_key(place, wrapped).await {
            Err(error) if error.kind() == ErrorKind::Corrupted => {
                let key = self.opened_by_earlier(place, wrapped, error).await?;
                self.current.wrap_key(place, &key).await.map(Some)
            }
            other => other,
        }
    }

    async fn current_key(&self) -> Result<String> {
        self.current.current_key().await
    }
}
