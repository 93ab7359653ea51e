//! Roles as rows, and the statements both SQL backends read.

use std::collections::BTreeSet;

use mcp_core::{
    Error, Result, Scope, audit::AuditRecord, clock::Timestamp, event::Event, scope::PrincipalId,
};
use serde_json::{Value, json};

use super::{NewRole, Role, RoleName};
use crate::sql::damaged;

macro_rules! roles {
    ($rest:literal) => {
        concat!(
            "SELECT name, description, permissions, inherits, version, created_at, updated_at FROM role ",
            $rest
        )
    };
}

pub(super) const ALL: &str = roles!("WHERE tenant_id = $1 ORDER BY name");
pub(super) const PUT: &str = "INSERT INTO role (tenant_id, name, description, permissions, inherits, version, \
     created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (tenant_id, name) DO UPDATE SET \
     description = excluded.description, permissions = excluded.permissions, inherits = excluded.inherits, \
     version = excluded.version, updated_at = excluded.updated_at";
pub(super) const DELETE: &str = "DELETE FROM role WHERE tenant_id = $1 AND name = $2";
pub(super) const DELETE_HOLDERS: &str = "DELETE FROM role_holder WHERE tenant_id = $1 AND role = $2";
pub(super) const EXISTS: &str = "SELECT 1 FROM role WHERE tenant_id = $1 AND name = $2";
pub(super) const HELD: &str =
    "SELECT role FROM role_holder WHERE tenant_id = $1 AND principal_id = $2 ORDER BY role";
pub(super) const ASSIGN: &str = "INSERT INTO role_holder (tenant_id, principal_id, role) VALUES ($1, $2, $3)";
pub(super) const UNASSIGN: &str =
    "DELETE FROM role_holder WHERE tenant_id = $1 AND principal_id = $2 AND role = $3";
pub(super) const HOLDERS: &str = "SELECT principal_id FROM role_holder \
     WHERE tenant_id = $1 AND role = $2 AND principal_id > $3 ORDER BY principal_id LIMIT $4";

/// The columns as the database gives them.
pub(super) type Row = (String, String, String, String, i64, i64, i64);

pub(super) fn role(row: Row) -> Result<Role> {
    parse(row).map_err(|error| damaged("role.read", error))
}

fn parse(row: Row) -> Result<Role, Box<dyn std::error::Error + Send + Sync>> {
    let (name, description, permissions, inherits, version, created, updated) = row;
    let definition = NewRole {
        name: RoleName::parse(&name)?,
        description,
        permissions: serde_json::from_str(&permissions)?,
        inherits: serde_json::from_str(&inherits)?,
    };
    let (created_at, updated_at) = (Timestamp::from_micros(created), Timestamp::from_micros(updated));
    Ok(Role { definition, version, created_at, updated_at })
}

pub(super) fn names(rows: Vec<String>) -> Result<BTreeSet<RoleName>> {
    rows.iter().map(|name| RoleName::parse(name).map_err(|error| damaged("role.held", error))).collect()
}

pub(super) fn holder(row: String) -> Result<PrincipalId> {
    PrincipalId::parse(&row).map_err(|error| damaged("role.holders", error))
}

pub(super) fn json_of(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|error| Error::internal("role.put", "the role cannot be stored").with_source(error))
}

/// The version stored, 0 for none, and when the role was made.
pub(super) fn stored(roles: &[Role], name: &RoleName) -> (i64, Option<Timestamp>) {
    let found = roles.iter().find(|role| role.definition.name == *name);
    found.map_or((0, None), |role| (role.version, Some(role.created_at)))
}

/// What is written beside a change: its event and its audit record.
pub(super) fn change(
    scope: &Scope,
    (verb, done): (&'static str, &'static str),
    name: &RoleName,
    data: Value,
) -> (Event, AuditRecord) {
    let event = Event::new(format!("role.{done}.v1"), "/roles", data.clone()).with_subject(name.as_str());
    let record = AuditRecord::done(scope, format!("role.{verb}"), format!("role/{name}"));
    (event, record.with_detail(data))
}

pub(super) fn put(scope: &Scope, role: &Role) -> (Event, AuditRecord) {
    let verbs = if role.version == 1 { ("create", "created") } else { ("update", "updated") };
    let definition = &role.definition;
    let data = json!({ "name": definition.name, "permissions": definition.permissions,
        "inherits": definition.inherits, "version": role.version });
    change(scope, verbs, &definition.name, data)
}

pub(super) fn given(
    scope: &Scope,
    verbs: (&'static str, &'static str),
    name: &RoleName,
    principal: &PrincipalId,
) -> (Event, AuditRecord) {
    change(scope, verbs, name, json!({ "name": name, "principal": principal }))
}
