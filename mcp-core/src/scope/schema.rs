//! Names of schemas, validated so that they can be quoted without a doubt.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    error::{Error, Result},
    scope::TenantId,
};

/// Schemas that belong to the kernel: the control tables, and the tenants' shared tables.
pub(crate) const CONTROL_SCHEMA: &str = "mcp_control";
pub(crate) const DATA_SCHEMA: &str = "mcp_data";

/// The name of a tenant's schema (mode `schema`) or database (mode `database`): `[a-z_][a-z0-9_]{0,62}`.
///
/// Names that PostgreSQL or the platform keeps for itself (`pg_…`, `public`, `information_schema`,
/// `mcp_control`, `mcp_data`, `postgres`, `template0`, `template1`) are refused.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SchemaName(Arc<str>);

impl SchemaName {
    /// Parses a name.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) that says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self> {
        const KEPT: [&str; 7] = [
            "public",
            "information_schema",
            CONTROL_SCHEMA,
            DATA_SCHEMA,
            "postgres",
            "template0",
            "template1",
        ];
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        let complaint = if text.is_empty() || text.len() > 63 {
            "must have 1 to 63 characters"
        } else if !text.bytes().all(inner) || text.as_bytes()[0].is_ascii_digit() {
            "may hold only a-z, 0-9 and '_', and must not begin with a digit"
        } else if text.starts_with("pg_") || KEPT.contains(&text) {
            "is reserved"
        } else {
            return Ok(Self(text.into()));
        };
        Err(Error::invalid_input("sql.schema_name", format!("a schema name {complaint}")))
    }

    /// The name a tenant gets that asks for none: its id with `_` for `-`, and a leading `_` where that
    /// alone is no name. Two tenants never get the same, as ids neither hold `_` nor begin with `-`.
    #[must_use]
    pub fn of_tenant(tenant: &TenantId) -> Self {
        let plain = tenant.as_str().replace('-', "_");
        Self::parse(&plain).unwrap_or_else(|_| Self(format!("_{plain}").into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SchemaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SchemaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SchemaName({})", self.0)
    }
}

impl FromStr for SchemaName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl Serialize for SchemaName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SchemaName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_tenants_default_is_its_id_made_a_name() {
        for (tenant, schema) in [
            ("tenant-123", "tenant_123"),
            ("acme", "acme"),
            ("0a", "_0a"),
            ("t-0a", "t_0a"),
            ("public", "_public"),
            ("pg-foo", "_pg_foo"),
            ("mcp-control", "_mcp_control"),
        ] {
            assert_eq!(SchemaName::of_tenant(&TenantId::parse(tenant).unwrap()).as_str(), schema);
        }
    }

    #[test]
    fn reserved_and_odd_names_are_refused() {
        let long = "x".repeat(64);
        for name in [
            "",
            "0a",
            "A",
            "a-b",
            "a.b",
            "a\"b",
            "pg_x",
            "public",
            "mcp_control",
            "information_schema",
            &long,
        ] {
            assert!(SchemaName::parse(name).is_err(), "{name:?} was accepted");
        }
    }

    proptest! {
        #[test]
        fn every_tenant_gets_a_valid_name_of_its_own(
            a in "[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?",
            b in "[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?",
        ) {
            prop_assume!(a != "platform" && b != "platform");
            let name = |id: &str| SchemaName::of_tenant(&TenantId::parse(id).unwrap());
            prop_assert!(SchemaName::parse(name(&a).as_str()).is_ok());
            prop_assert_eq!(a == b, name(&a) == name(&b));
        }
    }
}
