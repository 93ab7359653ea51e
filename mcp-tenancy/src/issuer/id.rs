//! Names of issuers.

use std::{fmt, sync::Arc};

use aws_lc_rs::digest::{SHA256, digest};
use mcp_core::{Error, Result, scope::TenantId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An issuer's name on this platform: 1–32 characters of `[a-z0-9-]`, as in `okta`. It begins the ids of the
/// principals that the issuer vouches for, so that equal subjects of two issuers are two principals.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IssuerId(Arc<str>);

impl IssuerId {
    /// Parses a name.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) if it has another form.
    pub fn parse(text: &str) -> Result<Self> {
        let ok = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if text.is_empty() || text.len() > 32 || !text.bytes().all(ok) {
            return Err(Error::invalid_input(
                "issuer.id",
                "an issuer's id must have 1 to 32 characters of a-z, 0-9 and '-'",
            ));
        }
        Ok(Self(text.into()))
    }

    /// A name that was made up, for whoever must not learn which names others have: 16 hex digits.
    #[must_use]
    pub fn generate() -> Self {
        Self::of_half(Uuid::new_v4().as_u64_pair().0)
    }

    /// The name of that form that `tenant` gets for `text`, the same each time: for creations that may be repeated.
    #[must_use]
    pub fn derived(tenant: &TenantId, text: &str) -> Self {
        let digest = digest(&SHA256, format!("issuer/{tenant}/{text}").as_bytes());
        let half = digest.as_ref().iter().take(8).fold(0_u64, |half, byte| half << 8 | u64::from(*byte));
        Self::of_half(half)
    }

    fn of_half(half: u64) -> Self {
        Self(format!("{half:016x}").into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IssuerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for IssuerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IssuerId({})", self.0)
    }
}

impl TryFrom<String> for IssuerId {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        Self::parse(&text)
    }
}

impl From<IssuerId> for String {
    fn from(id: IssuerId) -> Self {
        id.0.as_ref().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_ids_are_ids_and_derived_ones_the_tenants() {
        let of = |tenant, text| IssuerId::derived(&TenantId::parse(tenant).unwrap(), text);
        assert_eq!(of("acme", "k1"), of("acme", "k1"));
        let ids = [
            of("acme", "k1"),
            of("acme", "k2"),
            of("beta", "k1"),
            IssuerId::generate(),
            IssuerId::generate(),
        ];
        let distinct: std::collections::HashSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
        for id in &ids {
            assert_eq!(IssuerId::parse(id.as_str()).unwrap(), *id);
        }
    }

    #[test]
    fn ids_are_short_and_plain() {
        for good in ["okta", "entra-2", "0", &"x".repeat(32)] {
            assert_eq!(IssuerId::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "Okta", "a b", "a:b", "a/b", "é", &"x".repeat(33)] {
            assert!(IssuerId::parse(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
