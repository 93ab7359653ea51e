//! Who acts within a tenant, and what they may do.

use std::{collections::BTreeSet, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::PrincipalId;
use crate::error::{Error, Result};

/// What kind of actor a principal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PrincipalKind {
    /// A person.
    User,
    /// A program with a key or token of its own.
    Service,
}

impl PrincipalKind {
    /// The name on the wire and in audit records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Service => "service",
        }
    }
}

/// One permission: `area:verb`, as in `tools:call`, or `*` for everything within the tenant.
///
/// Each half has 1–32 characters of `[a-z0-9_-]`, and either may be `*`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Permission(Arc<str>);

impl Permission {
    /// Parses a permission.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the text is neither `*` nor `area:verb`.
    pub fn parse(text: &str) -> Result<Self> {
        let half = |s: &str| {
            s == "*"
                || (1..=32).contains(&s.len())
                    && s.bytes()
                        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
        };
        let ok = text == "*" || text.split_once(':').is_some_and(|(area, verb)| half(area) && half(verb));
        if !ok {
            return Err(Error::invalid_input(
                "scope.permission",
                "a permission is `*` or `area:verb` in lower case, as in `tools:call`",
            ));
        }
        Ok(Self(text.into()))
    }

    /// The permission as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn covers(&self, wanted: &str) -> bool {
        if &*self.0 == "*" || &*self.0 == wanted {
            return true;
        }
        match (self.0.split_once(':'), wanted.split_once(':')) {
            (Some((area, verb)), Some((wanted_area, wanted_verb))) => {
                (area == "*" || area == wanted_area) && (verb == "*" || verb == wanted_verb)
            }
            _ => false,
        }
    }
}

impl fmt::Debug for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Permission({})", self.0)
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Permission {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        Self::parse(&text)
    }
}

impl From<Permission> for String {
    fn from(permission: Permission) -> Self {
        permission.0.as_ref().to_owned()
    }
}

/// The set of permissions a principal holds; empty by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Permissions(BTreeSet<Permission>);

impl Permissions {
    /// The set of these texts.
    ///
    /// # Errors
    /// As [`Permission::parse`], for the first that does not parse.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        texts.into_iter().map(Permission::parse).collect::<Result<_>>().map(Self)
    }

    /// Whether the set covers `wanted` (`area:verb`).
    #[must_use]
    pub fn allows(&self, wanted: &str) -> bool {
        self.0.iter().any(|held| held.covers(wanted))
    }

    /// The permissions in order.
    pub fn iter(&self) -> impl Iterator<Item = &Permission> {
        self.0.iter()
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(iter: I) -> Self {
        Self(iter.into_iter().collect())
    }
}

/// Who acts: verified by an authenticator, never taken from a request as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Unique within the tenant.
    pub id: PrincipalId,
    /// Person or program.
    pub kind: PrincipalKind,
    /// What the principal may do within its tenant.
    pub permissions: Permissions,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_cover_their_half_only() {
        let held = Permissions::parse(["tools:*", "audit:read"]).unwrap();
        assert!(held.allows("tools:call"));
        assert!(held.allows("audit:read"));
        assert!(!held.allows("audit:write"));
        assert!(!held.allows("tool:call"));
        assert!(!Permissions::default().allows("tools:call"));
        assert!(Permissions::parse(["*"]).unwrap().allows("anything:at-all"));
    }

    #[test]
    fn refuses_what_is_not_a_permission() {
        for text in ["", ":", "a:", ":b", "tools", "Tools:call", "a:b:c", "a b:c"] {
            assert!(Permission::parse(text).is_err(), "{text:?} was accepted");
        }
    }
}
