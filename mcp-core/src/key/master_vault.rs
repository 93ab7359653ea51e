//! A vault of master keys, from files or the environment.

use async_trait::async_trait;
use zeroize::Zeroize as _;

use super::{KeyBytes, KeyPlace, KeyVault, MasterKey, Secret, WrappedKey};
use crate::error::{Error, ErrorKind, Result, Retry};

/// Wraps data keys under a [`MasterKey`] that this process holds.
///
/// To rotate it: make a new master key, give it as the current one and the one before as an
/// [older](Self::with_older) one, to every replica; wrap all data keys anew
/// ([`DataKeys::rewrap_batch`](super::DataKeys::rewrap_batch)); then take the older one away.
#[derive(Debug, Clone)]
pub struct MasterKeyVault {
    current: MasterKey,
    older: Vec<MasterKey>,
}

impl MasterKeyVault {
    /// A vault of one key.
    #[must_use]
    pub const fn new(current: MasterKey) -> Self {
        Self { current, older: Vec::new() }
    }

    /// The same vault, which also opens what these keys wrapped.
    #[must_use]
    pub fn with_older(mut self, keys: impl IntoIterator<Item = MasterKey>) -> Self {
        self.older.extend(keys);
        self
    }

    fn named(&self, name: &str) -> Result<&MasterKey> {
        let mut keys = std::iter::once(&self.current).chain(&self.older);
        keys.find(|key| name_of(key) == name).ok_or_else(|| {
            // The name comes from the database: it is shown only if it is one.
            let known = name.strip_prefix("master:").is_some_and(|id| id.bytes().all(|b| b.is_ascii_hexdigit()));
            let name = if known && name.len() <= 32 { name } else { "of another vault" };
            let message = format!(
                "a data key is wrapped by the key `{name}`, which this process does not have; give it as an older master key"
            );
            Error::new(ErrorKind::Corrupted, "key.unwrap", message).with_retry(Retry::Never)
        })
    }
}

#[async_trait]
impl KeyVault for MasterKeyVault {
    async fn wrap_key(&self, place: KeyPlace<'_>, key: &KeyBytes) -> Result<WrappedKey> {
        let version = place.version.to_string();
        let bytes = self.current.seal(key.expose(), &bound_to(place, &version))?;
        Ok(WrappedKey { wrapping_key: name_of(&self.current), bytes })
    }

    async fn unwrap_key(&self, place: KeyPlace<'_>, wrapped: &WrappedKey) -> Result<KeyBytes> {
        let version = place.version.to_string();
        let opened = self.named(&wrapped.wrapping_key)?.open(&wrapped.bytes, &bound_to(place, &version))?;
        let mut bytes: [u8; 32] =
            opened.expose().as_slice().try_into().map_err(|_| {
                Error::new(ErrorKind::Corrupted, "key.unwrap", "what is wrapped is no data key")
            })?;
        let key = Secret::new(bytes);
        bytes.zeroize();
        Ok(key)
    }

    async fn rewrap_key(&self, place: KeyPlace<'_>, wrapped: &WrappedKey) -> Result<Option<WrappedKey>> {
        if wrapped.wrapping_key == name_of(&self.current) {
            return Ok(None);
        }
        let key = self.unwrap_key(place, wrapped).await?;
        self.wrap_key(place, &key).await.map(Some)
    }

    async fn current_key(&self) -> Result<String> {
        Ok(name_of(&self.current))
    }
}

fn name_of(key: &MasterKey) -> String {
    format!("master:{}", key.id())
}

/// Nothing else that a master key seals has a place of this form.
fn bound_to<'a>(place: KeyPlace<'a>, version: &'a str) -> [&'a str; 3] {
    ["data_key", place.tenant.as_str(), version]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scope::TenantId;

    #[tokio::test]
    async fn a_key_of_a_missing_master_key_names_it_and_the_way_out() {
        let (old, new) = (MasterKey::ephemeral().unwrap(), MasterKey::ephemeral().unwrap());
        let tenant = TenantId::parse("acme").unwrap();
        let place = KeyPlace { tenant: &tenant, version: 1 };
        let mut wrapped =
            MasterKeyVault::new(old.clone()).wrap_key(place, &Secret::new([7; 32])).await.unwrap();
        let vault = MasterKeyVault::new(new);
        let error = vault.unwrap_key(place, &wrapped).await.unwrap_err();
        assert!(
            error.message().contains(old.id()) && error.message().contains("older master key"),
            "{error}"
        );
        wrapped.wrapping_key = "master:<script>".to_owned();
        let error = vault.unwrap_key(place, &wrapped).await.unwrap_err();
        assert!(!error.message().contains("script"), "{error}");
    }
}
