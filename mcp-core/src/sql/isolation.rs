//! How one tenant's rows are kept from another's.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, ErrorKind, Result},
    strict,
};

/// How a tenant's rows are kept apart. Chosen per tenant (by its tier) and recorded in its
/// [`Placement`](super::Placement).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IsolationMode {
    /// Shared tables whose keys begin with the tenant: for many tenants. PostgreSQL guards it with forced
    /// row-level security; SQLite has nothing of the kind, so there it is guarded by code alone.
    Row,
    /// A schema per tenant: for hundreds. PostgreSQL only.
    Schema,
    /// A database, or a SQLite file, per tenant: for the regulated, and for data residency.
    Database,
}

impl IsolationMode {
    /// Every mode.
    pub const ALL: [Self; 3] = [Self::Row, Self::Schema, Self::Database];

    /// The name in configuration, in the control tables and in messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Row => "row",
            Self::Schema => "schema",
            Self::Database => "database",
        }
    }

    pub(crate) fn require(self, backend: &str, offered: &[Self]) -> Result<()> {
        if offered.contains(&self) {
            return Ok(());
        }
        let names: Vec<_> = offered.iter().map(|mode| format!("`{mode}`")).collect();
        Err(Error::new(
            ErrorKind::Unsupported,
            "sql.isolation",
            format!("{backend} has no isolation mode `{self}` here; choose {}", names.join(" or ")),
        ))
    }
}

impl fmt::Display for IsolationMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for IsolationMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == text).ok_or_else(|| {
            let near = strict::nearest(text, Self::ALL.map(Self::as_str));
            let hint = near.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default();
            Error::invalid_input(
                "sql.isolation",
                format!("the isolation mode must be `row`, `schema` or `database`{hint}"),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_slips_are_mended() {
        for mode in IsolationMode::ALL {
            assert_eq!(mode.as_str().parse::<IsolationMode>().unwrap(), mode);
            assert_eq!(serde_json::to_value(mode).unwrap(), mode.as_str());
        }
        let error = "databse".parse::<IsolationMode>().unwrap_err();
        assert!(error.message().contains("did you mean `database`?"), "{error}");
    }

    #[test]
    fn a_mode_the_backend_lacks_is_refused_by_name() {
        let error = IsolationMode::Schema
            .require("SQLite", &[IsolationMode::Row, IsolationMode::Database])
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.message().contains("`schema`") && error.message().contains("`row` or `database`"));
    }
}
