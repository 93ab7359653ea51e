//! What the claims of a token give.

use std::collections::BTreeMap;

use mcp_core::{
    Error, Result,
    scope::{Permission, Permissions},
};
use serde_json::Value;

use super::ClaimMapping;

/// Most values of all permission claims together that are looked at.
const MAX_VALUES: usize = 512;

impl ClaimMapping {
    /// The claim `name` among `claims`.
    pub(crate) fn find<'a>(claims: &'a BTreeMap<String, Value>, name: &str) -> Option<&'a Value> {
        let Some(path) = name.strip_prefix('/') else { return claims.get(name) };
        let (first, rest) = match path.split_once('/') {
            Some((first, _)) => (first, &path[first.len()..]),
            None => (path, ""),
        };
        claims.get(&first.replace("~1", "/").replace("~0", "~"))?.pointer(rest)
    }

    /// The permissions that `claims` give, none above the ceiling.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) for a claim that is neither a string nor an array of
    /// strings, or for more values than are looked at.
    pub(crate) fn permissions(&self, claims: &BTreeMap<String, Value>) -> Result<Permissions> {
        let mut values = Vec::new();
        for name in &self.permissions {
            match Self::find(claims, name) {
                None | Some(Value::Null) => {}
                Some(Value::String(text)) => values.extend(text.split_ascii_whitespace()),
                Some(Value::Array(items)) => {
                    for item in items {
                        values.push(item.as_str().ok_or_else(unreadable)?);
                    }
                }
                Some(_) => return Err(unreadable()),
            }
        }
        if values.len() > MAX_VALUES {
            return Err(unreadable());
        }
        let given = values.into_iter().flat_map(|value| match self.grants.get(value) {
            Some(granted) => granted.iter().cloned().collect(),
            None => Permission::parse(value).into_iter().collect::<Vec<_>>(),
        });
        Ok(given.filter(|permission| self.ceiling.allows(permission.as_str())).collect())
    }
}

fn unreadable() -> Error {
    Error::invalid_input("issuer.claims", "a permission claim is no list of strings, or too long")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> BTreeMap<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    fn texts(permissions: &Permissions) -> Vec<&str> {
        permissions.iter().map(Permission::as_str).collect()
    }

    #[test]
    fn claims_are_found_by_name_and_by_pointer() {
        let claims = claims(json!({
            "https://x.example/tenant": "acme", "realm_access": { "roles": ["a"] }, "a/b": { "c": 1 },
        }));
        let find = |name| ClaimMapping::find(&claims, name);
        assert_eq!(find("https://x.example/tenant"), Some(&json!("acme")));
        assert_eq!(find("/realm_access/roles"), Some(&json!(["a"])));
        assert_eq!(find("/realm_access/roles/0"), Some(&json!("a")));
        assert_eq!(find("/a~1b/c"), Some(&json!(1)));
        assert_eq!(find("realm_access.roles"), None);
    }

    #[test]
    fn values_give_permissions_up_to_the_ceiling() {
        let mapping = ClaimMapping {
            permissions: vec!["scope".to_owned(), "/realm/roles".to_owned()],
            grants: [("admin".to_owned(), Permissions::parse(["tools:*", "audit:read"]).unwrap())].into(),
            ceiling: Permissions::parse(["tools:*", "contexts:read"]).unwrap(),
            ..ClaimMapping::default()
        };
        let given = claims(json!({
            "scope": "openid contexts:read contexts:write *", "realm": { "roles": ["admin", "other"] },
        }));
        assert_eq!(texts(&mapping.permissions(&given).unwrap()), ["contexts:read", "tools:*"]);
        assert!(texts(&mapping.permissions(&claims(json!({}))).unwrap()).is_empty());
    }

    #[test]
    fn permission_claims_of_another_type_are_refused() {
        let mapping = ClaimMapping::default();
        for value in [json!(1), json!(true), json!({ "*": true }), json!([["*"]]), json!(["a:b", 1])] {
            assert!(mapping.permissions(&claims(json!({ "scope": value }))).is_err(), "{value}");
        }
        let many = vec!["a:b"; MAX_VALUES + 1];
        assert!(mapping.permissions(&claims(json!({ "scope": many }))).is_err());
    }
}
