//! Small validated names: tiers, regions, features, schemas.

use std::{fmt, sync::Arc};

use mcp_core::{Error, Result, scope::TenantId};
use serde::{Deserialize, Serialize};

/// The name of a tier, a region or a feature: 1–64 characters of `[a-z0-9._-]`, as in `ml_inference`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

impl Name {
    /// Parses a name.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) if it has another form.
    pub fn parse(text: &str) -> Result<Self> {
        let ok = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
        if text.is_empty() || text.len() > 64 || !text.bytes().all(ok) {
            return Err(Error::invalid_input(
                "tenant.name",
                "a tier, region or feature must have 1 to 64 characters of a-z, 0-9, '.', '_' and '-'",
            ));
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// For names written in this crate, which are known to be well-formed.
    pub(super) fn constant(text: &'static str) -> Self {
        Self(text.into())
    }
}

/// The database schema of a tenant in isolation mode `schema`: 1–63 characters of `[a-z0-9_]`, not
/// beginning with a digit, none of PostgreSQL's own.
///
/// Two tenants never have the same one, whatever their mode: the store sees to that.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SchemaName(Arc<str>);

/// What PostgreSQL and the SQL kernel keep for themselves.
const RESERVED: [&str; 7] =
    ["public", "information_schema", "mcp_control", "mcp_data", "postgres", "template0", "template1"];

impl SchemaName {
    /// Parses a schema name.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) if it has another form or is reserved.
    pub fn parse(text: &str) -> Result<Self> {
        let ok = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if text.is_empty() || text.len() > 63 || !text.bytes().all(ok) || text.as_bytes()[0].is_ascii_digit()
        {
            return Err(Error::invalid_input(
                "tenant.schema",
                "a schema must have 1 to 63 characters of a-z, 0-9 and '_' and not begin with a digit",
            ));
        }
        if text.starts_with("pg_") || RESERVED.contains(&text) {
            return Err(Error::invalid_input("tenant.schema", format!("the schema `{text}` is reserved")));
        }
        Ok(Self(text.into()))
    }

    /// The schema a tenant has where none is named: its id with `_` for `-`, and a leading `_` where that
    /// alone is no name. Two tenants never get the same, as ids neither hold `_` nor begin with `-`.
    #[must_use]
    pub fn of(tenant: &TenantId) -> Self {
        let plain = tenant.as_str().replace('-', "_");
        Self::parse(&plain).unwrap_or_else(|_| Self(format!("_{plain}").into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What both names share; a macro because a trait could not give foreign traits.
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
        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(text: String) -> Result<Self> {
                Self::parse(&text)
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }
    };
}
textual!(Name);
textual!(SchemaName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_and_short() {
        for good in ["ml_inference", "eu-west-1", "tier.1"] {
            assert_eq!(Name::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "A", "a b", "a\n", "é", &"x".repeat(65)] {
            assert!(Name::parse(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn reserved_and_unquotable_schemas_are_refused() {
        assert_eq!(SchemaName::parse("tenant_123").unwrap().as_str(), "tenant_123");
        for bad in ["", "1a", "a-b", "a;drop", "public", "pg_temp", "information_schema", "A"] {
            assert!(SchemaName::parse(bad).is_err(), "{bad:?} was accepted");
        }
    }

    /// The kernel places tenants under these names, so it must take every one of them.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    #[test]
    fn the_kernel_has_the_same_rules() {
        use mcp_core::sql::SchemaName as Kernels;
        let long = "x".repeat(64);
        let odd = ["a", "_", "tenant_123", "9a", "a-b", "A", "", "pg_a", "pg", &long, &long[..63]];
        for text in odd.into_iter().chain(RESERVED) {
            assert_eq!(SchemaName::parse(text).is_ok(), Kernels::parse(text).is_ok(), "{text}");
        }
        for id in ["acme", "tenant-123", "0a", "public", "postgres", "x"] {
            let id = TenantId::parse(id).unwrap();
            assert_eq!(SchemaName::of(&id).as_str(), Kernels::of_tenant(&id).as_str());
        }
    }

    #[test]
    fn every_tenant_id_gives_a_schema_that_parses() {
        for id in ["0", "a-b-c", &"x".repeat(48)] {
            let schema = SchemaName::of(&TenantId::parse(id).unwrap());
            assert_eq!(SchemaName::parse(schema.as_str()).unwrap(), schema);
        }
    }
}
