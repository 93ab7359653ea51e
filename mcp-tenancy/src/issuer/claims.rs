//! What the claims of a foreign token mean here.

use std::collections::BTreeMap;

use mcp_core::scope::Permissions;
use serde::{Deserialize, Serialize};

/// Longest name of a claim, and most claims and grants.
const MAX_CLAIM_LEN: usize = 256;
const MAX_PERMISSION_CLAIMS: usize = 8;
const MAX_GRANTS: usize = 256;

/// Where tenant, subject and permissions stand in a token.
///
/// A claim is named as it is, or, if the name begins with `/`, by the JSON pointer to it
/// (`/realm_access/roles`, RFC 6901).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub struct ClaimMapping {
    /// The claim that names the tenant. A shared issuer must have one; where a tenant's own issuer has one, it must
    /// agree. Default: none.
    pub tenant: Option<String>,
    /// The claim that names the principal, a string; it becomes the part behind `{issuer}:` of its id. Default `sub`.
    pub subject: String,
    /// Claims whose values say what the principal may do: arrays of strings, or strings with blanks between the
    /// values, as `scope` is. Default `scope`.
    pub permissions: Vec<String>,
    /// What a value of those claims gives. One that does not stand here gives the permission it is (`tools:call`),
    /// or nothing if it is none. Default: none stand here.
    pub grants: BTreeMap<String, Permissions>,
    /// The most that the issuer can give. Default: everything within the tenant, `*`.
    pub ceiling: Permissions,
}

impl Default for ClaimMapping {
    fn default() -> Self {
        Self {
            tenant: None,
            subject: "sub".to_owned(),
            permissions: vec!["scope".to_owned()],
            grants: BTreeMap::new(),
            ceiling: Permissions::parse(["*"]).unwrap_or_default(),
        }
    }
}

impl ClaimMapping {
    /// What this mapping breaks, if it does.
    pub(super) fn complaint(&self) -> Option<String> {
        let named = self.permissions.iter().chain(&self.tenant).chain([&self.subject]);
        let is_claim = |name: &&String| {
            let pointer = |name: &str| name.len() > 1 && !name.ends_with('/');
            (1..=MAX_CLAIM_LEN).contains(&name.len()) && (!name.starts_with('/') || pointer(name))
        };
        if !named.into_iter().all(|name| is_claim(&name)) {
            return Some(format!(
                "a claim's name must have 1 to {MAX_CLAIM_LEN} bytes, a pointer more than `/`"
            ));
        }
        if self.permissions.len() > MAX_PERMISSION_CLAIMS {
            return Some(format!("`claims.permissions` may name at most {MAX_PERMISSION_CLAIMS} claims"));
        }
        let granted = self.grants.values().map(|granted| granted.iter().count()).sum::<usize>();
        (self.grants.len() > MAX_GRANTS || granted > MAX_GRANTS * 4).then(|| {
            format!(
                "`claims.grants` may have at most {MAX_GRANTS} values, with 4 permissions each on average"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_have_bounds() {
        assert_eq!(ClaimMapping::default().complaint(), None);
        let many = vec!["x".to_owned(); MAX_PERMISSION_CLAIMS + 1];
        for bad in [
            ClaimMapping { subject: String::new(), ..ClaimMapping::default() },
            ClaimMapping { tenant: Some("/".to_owned()), ..ClaimMapping::default() },
            ClaimMapping { permissions: many, ..ClaimMapping::default() },
            ClaimMapping { subject: "x".repeat(MAX_CLAIM_LEN + 1), ..ClaimMapping::default() },
        ] {
            assert!(bad.complaint().is_some(), "{bad:?}");
        }
    }
}
