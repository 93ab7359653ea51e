//! Validated identifiers. None can be made except by parsing, so holding one proves its form.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::error::{Error, Result};

/// A tenant's id: a DNS label of 1–48 characters, `[a-z0-9]` with inner `-`.
///
/// The form is that of a DNS label so that the id can be a subdomain, and shorter than one so that a schema
/// or file name can be derived from it. Upper case is refused rather than folded: two spellings of one
/// tenant must not exist. `platform` is reserved for records above tenants.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(Arc<str>);

impl TenantId {
    /// Longest id, in bytes.
    pub const MAX_LEN: usize = 48;

    /// Parses an id.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) that says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self> {
        let ok_inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let bytes = text.as_bytes();
        let complaint = if bytes.is_empty() || bytes.len() > Self::MAX_LEN {
            "must have 1 to 48 characters"
        } else if !bytes.iter().copied().all(ok_inner) {
            "may hold only a-z, 0-9 and '-'"
        } else if bytes.starts_with(b"-") || bytes.ends_with(b"-") {
            "must not begin or end with '-'"
        } else if text == "platform" {
            "is reserved"
        } else {
            return Ok(Self(text.into()));
        };
        Err(Error::invalid_input("scope.tenant_id", format!("a tenant id {complaint}")))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A principal's id: 1–128 printable ASCII characters without blanks (a user, a key, a service).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PrincipalId(Arc<str>);

impl PrincipalId {
    /// Parses an id.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) that says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self> {
        if text.is_empty() || text.len() > 128 || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Error::invalid_input(
                "scope.principal_id",
                "a principal id must be 1 to 128 printable ASCII characters without blanks",
            ));
        }
        Ok(Self(text.into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A request's id: `X-Request-Id` in and out, and in every log line of the request.
///
/// A caller's id is kept if it has 1–64 characters of `[A-Za-z0-9_-]`; else a UUIDv7 is made, so that a
/// caller cannot write into the logs.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// A fresh id (UUIDv7).
    #[must_use]
    pub fn generate() -> Self {
        let mut buffer = Uuid::encode_buffer();
        Self(Arc::from(&*Uuid::now_v7().simple().encode_lower(&mut buffer)))
    }

    /// Parses a caller's id.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if it is not 1–64 characters of `[A-Za-z0-9_-]`.
    pub fn parse(text: &str) -> Result<Self> {
        let ok = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if text.is_empty() || text.len() > 64 || !text.bytes().all(ok) {
            return Err(Error::invalid_input(
                "scope.request_id",
                "a request id must be 1 to 64 characters of A-Z, a-z, 0-9, '_' and '-'",
            ));
        }
        Ok(Self(text.into()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The impls every textual id shares; a macro because a trait could not give foreign traits.
macro_rules! textual {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
        impl FromStr for $name {
            type Err = Error;
            fn from_str(text: &str) -> Result<Self> {
                Self::parse(text)
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}
textual!(TenantId);
textual!(PrincipalId);
textual!(RequestId);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn accepts_what_the_seed_documents_use() {
        for id in ["tenant-123", "acme", "a", "0", &"x".repeat(48)] {
            assert_eq!(TenantId::parse(id).unwrap().as_str(), id);
        }
    }

    #[test]
    fn refuses_every_other_spelling() {
        let long = "x".repeat(49);
        for id in ["", "Acme", "a_b", "-a", "a-", "a b", "a/b", "..", "é", "a\0", "platform", long.as_str()]
        {
            assert!(TenantId::parse(id).is_err(), "{id:?} was accepted");
        }
    }

    #[test]
    fn serde_goes_through_parse() {
        assert!(serde_json::from_str::<TenantId>("\"Not Valid\"").is_err());
        let id: TenantId = serde_json::from_str("\"acme\"").unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"acme\"");
    }

    proptest! {
        #[test]
        fn parsing_is_the_identity_or_an_error(text in ".{0,60}") {
            if let Ok(id) = TenantId::parse(&text) { prop_assert_eq!(id.as_str(), text.as_str()); }
            if let Ok(id) = RequestId::parse(&text) { prop_assert_eq!(id.as_str(), text.as_str()); }
            if let Ok(id) = PrincipalId::parse(&text) { prop_assert_eq!(id.as_str(), text.as_str()); }
        }
    }
}
