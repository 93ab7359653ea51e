//! Roles, and what they come to when they inherit.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use mcp_core::{
    Error, ErrorKind, Result,
    clock::Timestamp,
    error::Detail,
    scope::{Permission, Permissions},
};
use serde::{Deserialize, Serialize};

/// Most roles of one tenant.
pub const MAX_ROLES: usize = 256;
/// Most roles one role inherits from directly.
pub const MAX_PARENTS: usize = 16;
/// Longest chain of inheritance: a role, its parent, and so on.
pub const MAX_DEPTH: usize = 8;
/// Most roles given to one principal.
pub const MAX_ROLES_HELD: usize = 32;
/// Most permissions named by one role.
const MAX_PERMISSIONS: usize = 128;
/// Longest description, in characters.
const MAX_DESCRIPTION: usize = 200;

/// A role's name: 1–64 characters of `[a-z0-9_-]`, as in `admin`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RoleName(Arc<str>);

impl RoleName {
    /// Parses a name.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it has another form.
    pub fn parse(text: &str) -> Result<Self> {
        let ok = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-');
        if text.is_empty() || text.len() > 64 || !text.bytes().all(ok) {
            return Err(Error::invalid_input(
                "role.name",
                "a role's name must have 1 to 64 characters of a-z, 0-9, '_' and '-'",
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

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RoleName({})", self.0)
    }
}

impl TryFrom<String> for RoleName {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        Self::parse(&text)
    }
}

impl From<RoleName> for String {
    fn from(name: RoleName) -> Self {
        name.0.as_ref().to_owned()
    }
}

/// What a role is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewRole {
    /// Its name, unique within the tenant.
    pub name: RoleName,
    /// For people: at most 200 characters, no control characters.
    #[serde(default)]
    pub description: String,
    /// What it allows by itself: at most 128.
    #[serde(default)]
    pub permissions: Permissions,
    /// The roles whose permissions it has too: at most [`MAX_PARENTS`].
    #[serde(default)]
    pub inherits: BTreeSet<RoleName>,
}

impl NewRole {
    /// A role with these permissions that inherits nothing.
    #[must_use]
    pub const fn new(name: RoleName, permissions: Permissions) -> Self {
        Self { name, description: String::new(), permissions, inherits: BTreeSet::new() }
    }

    /// Checks what the types of the fields do not.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) that names the field.
    pub fn validate(&self) -> Result<()> {
        if self.description.chars().count() > MAX_DESCRIPTION
            || self.description.chars().any(char::is_control)
        {
            return Err(bad("description", "has at most 200 characters and no control characters"));
        }
        if self.permissions.iter().count() > MAX_PERMISSIONS {
            return Err(bad("permissions", "holds at most 128 permissions"));
        }
        if self.inherits.len() > MAX_PARENTS {
            return Err(bad("inherits", "names at most 16 roles"));
        }
        if self.inherits.contains(&self.name) {
            return Err(bad("inherits", "must not name the role itself"));
        }
        Ok(())
    }
}

/// A role as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Role {
    /// What it is.
    #[serde(flatten)]
    pub definition: NewRole,
    /// 1 when it was made, one more with each change.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

/// What a principal's roles come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Granted {
    /// The roles it was given and all they inherit from.
    pub roles: BTreeSet<RoleName>,
    /// What these allow together.
    pub permissions: Permissions,
}

impl Granted {
    /// What `held` come to, given all roles of the tenant. A name that is no role counts for nothing.
    #[must_use]
    pub fn of<'a>(roles: &[Role], held: impl IntoIterator<Item = &'a RoleName>) -> Self {
        let known = by_name(roles);
        let mut granted = BTreeSet::new();
        let mut next: Vec<&RoleName> = held.into_iter().collect();
        let mut permissions: BTreeSet<Permission> = BTreeSet::new();
        while let Some(name) = next.pop() {
            if let Some(role) = known.get(name)
                && granted.insert(name.clone())
            {
                permissions.extend(role.permissions.iter().cloned());
                next.extend(&role.inherits);
            }
        }
        Self { roles: granted, permissions: permissions.into_iter().collect() }
    }
}

fn by_name(roles: &[Role]) -> BTreeMap<&RoleName, &NewRole> {
    roles.iter().map(|role| (&role.definition.name, &role.definition)).collect()
}

/// Checks that `new` may stand among `roles`, all others of its tenant: its parents are there, no chain of
/// inheritance returns to where it began, none is longer than [`MAX_DEPTH`], and there is room.
pub(super) fn check_among(roles: &[Role], new: &NewRole) -> Result<()> {
    let mut known = by_name(roles);
    for parent in &new.inherits {
        if !known.contains_key(parent) {
            return Err(bad("inherits", "names a role that does not exist").with_context("role", parent));
        }
    }
    known.insert(&new.name, new);
    if known.len() > MAX_ROLES {
        return Err(Error::new(
            ErrorKind::Conflict,
            "role.put",
            "the tenant has 256 roles, the most it can have; delete one first",
        ));
    }
    // A change of one role lengthens the chains of those that inherit from it.
    let mut depths = BTreeMap::new();
    for name in known.keys() {
        depth(name, &known, &mut depths, &mut Vec::new())?;
    }
    Ok(())
}

fn depth<'a>(
    name: &'a RoleName,
    known: &BTreeMap<&'a RoleName, &'a NewRole>,
    depths: &mut BTreeMap<&'a RoleName, usize>,
    path: &mut Vec<&'a RoleName>,
) -> Result<usize> {
    if let Some(depth) = depths.get(name) {
        return Ok(*depth);
    }
    if path.contains(&name) {
        let message = format!("the role `{name}` would inherit from itself; take it out of `inherits`");
        return Err(Error::new(ErrorKind::Conflict, "role.put", message));
    }
    if path.len() >= MAX_DEPTH {
        return Err(too_deep());
    }
    path.push(name);
    let mut deepest = 0;
    if let Some(role) = known.get(name) {
        for parent in &role.inherits {
            deepest = deepest.max(depth(parent, known, depths, path)?);
        }
    }
    path.pop();
    if deepest + 1 > MAX_DEPTH {
        return Err(too_deep());
    }
    depths.insert(name, deepest + 1);
    Ok(deepest + 1)
}

fn too_deep() -> Error {
    Error::new(ErrorKind::Conflict, "role.put", "roles inherit over at most 8 levels; make the chain shorter")
}

fn bad(field: &'static str, rule: &'static str) -> Error {
    Error::invalid_input("role.put", format!("`{field}` {rule}"))
        .with_detail(Detail::Field { path: field.to_owned(), nearest: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> RoleName {
        RoleName::parse(text).unwrap()
    }

    fn role(text: &str, permissions: &[&str], inherits: &[&str]) -> Role {
        let mut definition =
            NewRole::new(name(text), Permissions::parse(permissions.iter().copied()).unwrap());
        definition.inherits = inherits.iter().copied().map(name).collect();
        let at = Timestamp::from_micros(0);
        Role { definition, version: 1, created_at: at, updated_at: at }
    }

    #[test]
    fn a_role_has_what_it_inherits() {
        let roles = [
            role("viewer", &["contexts:read"], &[]),
            role("editor", &["contexts:write"], &["viewer"]),
            role("admin", &["roles:*"], &["editor"]),
            role("auditor", &["audit:read"], &[]),
        ];
        let granted = Granted::of(&roles, [&name("editor"), &name("gone")]);
        assert_eq!(granted.roles, [name("viewer"), name("editor")].into());
        assert!(granted.permissions.allows("contexts:read") && granted.permissions.allows("contexts:write"));
        assert!(!granted.permissions.allows("roles:write") && !granted.permissions.allows("audit:read"));
    }

    #[test]
    fn a_circle_is_refused_wherever_it_closes() {
        let roles = [role("a", &[], &["b"]), role("b", &[], &["c"]), role("c", &[], &[])];
        assert!(check_among(&roles, &role("c", &[], &[]).definition).is_ok());
        let closing = role("c", &[], &["a"]).definition;
        let error = check_among(&roles, &closing).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(role("c", &[], &["c"]).definition.validate().is_err());
    }

    #[test]
    fn chains_are_bounded_in_the_middle_too() {
        let mut roles: Vec<_> = (1..MAX_DEPTH)
            .map(|n| role(&format!("r{n}"), &[], &[&format!("r{}", n - 1)]))
            .chain([role("r0", &[], &[])])
            .collect();
        assert!(check_among(&roles, &role("x", &[], &["r6"]).definition).is_ok());
        assert!(check_among(&roles, &role("x", &[], &["r7"]).definition).is_err());
        roles.push(role("y", &[], &[]));
        // The chain grows below its end: `r0` now inherits from `y`.
        assert!(check_among(&roles, &role("r0", &[], &["y"]).definition).is_err());
    }

    #[test]
    fn parents_must_be_there() {
        let error = check_among(&[], &role("a", &[], &["nobody"]).definition).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}
