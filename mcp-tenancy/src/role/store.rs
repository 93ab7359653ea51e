//! Where roles are kept, and who has them.

use std::{collections::BTreeSet, fmt};

use async_trait::async_trait;
use mcp_core::{Error, ErrorKind, Result, Scope, error::Detail, scope::PrincipalId};

use super::{Granted, MAX_ROLES_HELD, NewRole, Role, RoleName};
use crate::tenant::Page;

/// Keeps the roles of each tenant and to whom they are given.
///
/// Promises:
/// - **Tenants apart**: what is done in one tenant changes and shows nothing in another, with equal names too.
/// - **No lost update**: of many changes of one version of a role one succeeds, the others get
///   [`Conflict`](ErrorKind::Conflict) with the version that is stored.
/// - **No circle**: at no time does a role inherit from itself, over whatever detour, or over more than
///   [`MAX_DEPTH`](super::MAX_DEPTH) levels, however many change roles at once.
/// - **Nothing dangles**: a role that another inherits from cannot be deleted; one that is deleted is given
///   to nobody any more, and a new one of its name begins with nobody.
/// - **Giving and taking are idempotent**, and a role that does not exist cannot be given.
/// - **Bounded**: [`MAX_ROLES`](super::MAX_ROLES) a tenant, [`MAX_ROLES_HELD`] a principal.
/// - **Durable when acknowledged**, on the backends that have a disk: state, event and audit record commit
///   together or not at all; what changed nothing leaves neither.
///
/// # Cancellation
/// A call dropped before it answers has happened whole or not at all.
#[async_trait]
pub trait RoleStore: Send + Sync + fmt::Debug {
    /// Makes a role (`expected_version` 0) or replaces it (its version).
    ///
    /// # Errors
    /// `InvalidInput` as [`NewRole::validate`] and for parents that do not exist, `Conflict` for another
    /// version, a circle, a chain that is too long or one role too many, `Unavailable`.
    async fn put(&self, scope: &Scope, role: NewRole, expected_version: i64) -> Result<Role>;

    /// All roles of the tenant, in the order of their names.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn roles(&self, scope: &Scope) -> Result<Vec<Role>>;

    /// Deletes a role and takes it from all who had it.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` for another version and while another role inherits from it, `Unavailable`.
    async fn delete(&self, scope: &Scope, name: &RoleName, expected_version: i64) -> Result<()>;

    /// Gives a role to a principal.
    ///
    /// # Errors
    /// `NotFound` if there is no such role, `Conflict` if the principal has as many as it can have,
    /// `Unavailable`.
    async fn assign(&self, scope: &Scope, principal: &PrincipalId, role: &RoleName) -> Result<()>;

    /// Takes a role from a principal.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn unassign(&self, scope: &Scope, principal: &PrincipalId, role: &RoleName) -> Result<()>;

    /// The roles given to a principal, without what they inherit from.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn held(&self, scope: &Scope, principal: &PrincipalId) -> Result<BTreeSet<RoleName>>;

    /// What the roles given to a principal come to, with all they inherit from, as of one moment.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn granted(&self, scope: &Scope, principal: &PrincipalId) -> Result<Granted>;

    /// Up to `limit` principals (1 to [`MAX_PAGE`](crate::tenant::MAX_PAGE)) who were given the role, in the
    /// order of their ids, after `cursor`.
    ///
    /// # Errors
    /// `InvalidInput` for a cursor this store did not give, `Unavailable`.
    async fn holders(
        &self,
        scope: &Scope,
        role: &RoleName,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<PrincipalId>>;
}

pub(super) fn not_found(operation: &'static str, name: &RoleName) -> Error {
    Error::not_found(operation, format!("there is no role `{name}`"))
}

/// Compares a role's stored version, 0 for none, with the one its change expects.
pub(super) fn check_version(operation: &'static str, stored: i64, expected: i64) -> Result<()> {
    if stored == expected {
        return Ok(());
    }
    let message = match stored {
        0 => "there is no such role any more; make it with version 0".to_owned(),
        _ => format!("the role has the version {stored}; read it again and decide anew"),
    };
    Err(Error::new(ErrorKind::Conflict, operation, message).with_detail(Detail::Conflict { current: stored }))
}

/// Refuses to delete a role that others inherit from.
pub(super) fn check_unused(roles: &[Role], name: &RoleName) -> Result<()> {
    match roles.iter().find(|role| role.definition.inherits.contains(name)) {
        None => Ok(()),
        Some(heir) => {
            let heir = &heir.definition.name;
            let message = format!("the role `{heir}` inherits from `{name}`; change `{heir}` first");
            Err(Error::new(ErrorKind::Conflict, "role.delete", message))
        }
    }
}

pub(super) fn check_room(held: usize) -> Result<()> {
    if held < MAX_ROLES_HELD {
        return Ok(());
    }
    let message = "the principal has 32 roles, the most it can have; take one away first";
    Err(Error::new(ErrorKind::Conflict, "role.assign", message))
}

pub(super) fn parse_cursor(cursor: Option<&str>) -> Result<Option<PrincipalId>> {
    cursor.map(PrincipalId::parse).transpose().map_err(|_| {
        Error::invalid_input("role.holders", "`cursor` is not the `next_cursor` of an earlier page")
            .with_detail(Detail::Field { path: "cursor".into(), nearest: None })
    })
}
