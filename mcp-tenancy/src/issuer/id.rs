//! Names of issuers.

use std::{fmt, sync::Arc};

use mcp_core::{Error, Result};
use serde::{Deserialize, Serialize};

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
    fn ids_are_short_and_plain() {
        for good in ["okta", "entra-2", "0", &"x".repeat(32)] {
            assert_eq!(IssuerId::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "Okta", "a b", "a:b", "a/b", "é", &"x".repeat(33)] {
            assert!(IssuerId::parse(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
