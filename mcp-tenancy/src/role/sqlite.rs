//! Roles in SQLite, beside the rest of a tenant's data.

use std::collections::BTreeSet;

use async_trait::async_trait;
use mcp_core::{
    Result, Scope,
    audit::AuditRecord,
    event::Event,
    scope::{PrincipalId, TenantId},
    sql::{
        OrFault as _,
        sqlite::{SqliteKernel, TenantTx},
    },
};
use serde_json::json;
use sqlx::{SqliteConnection, query, query_as, query_scalar};

use super::{
    Granted, NewRole, Role, RoleName, RoleStore,
    model::check_among,
    row::{self, Row},
    store::{check_room, check_unused, check_version, not_found, parse_cursor},
};
use crate::tenant::{MAX_PAGE, Page};

/// A [`RoleStore`] in SQLite, on a kernel that was opened with
/// [`SQLITE_MIGRATIONS`](crate::SQLITE_MIGRATIONS).
#[derive(Debug, Clone)]
pub struct SqliteRoleStore {
    kernel: SqliteKernel,
}

impl SqliteRoleStore {
    /// A store on `kernel`.
    #[must_use]
    pub const fn new(kernel: SqliteKernel) -> Self {
        Self { kernel }
    }
}

#[async_trait]
impl RoleStore for SqliteRoleStore {
    async fn put(&self, scope: &Scope, definition: NewRole, expected_version: i64) -> Result<Role> {
        definition.validate()?;
        let mut tx = self.kernel.begin(scope).await?;
        let roles = all(tx.conn(), scope.tenant()).await?;
        let (version, created_at) = row::stored(&roles, &definition.name);
        check_version("role.put", version, expected_version)?;
        check_among(&roles, &definition)?;
        let now = tx.now();
        let created_at = created_at.unwrap_or(now);
        let role = Role { definition, version: version + 1, created_at, updated_at: now };
        query(row::PUT)
            .bind(scope.tenant().as_str())
            .bind(role.definition.name.as_str())
            .bind(role.definition.description.as_str())
            .bind(row::json_of(&role.definition.permissions)?)
            .bind(row::json_of(&role.definition.inherits)?)
            .bind(role.version)
            .bind(role.created_at.as_micros())
            .bind(role.updated_at.as_micros())
            .execute(tx.conn())
            .await
            .or_fault("role.put")?;
        commit(tx, row::put(scope, &role)).await?;
        Ok(role)
    }

    async fn roles(&self, scope: &Scope) -> Result<Vec<Role>> {
        let mut read = self.kernel.read(scope).await?;
        all(read.conn(), scope.tenant()).await
    }

    async fn delete(&self, scope: &Scope, name: &RoleName, expected_version: i64) -> Result<()> {
        let mut tx = self.kernel.begin(scope).await?;
        let roles = all(tx.conn(), scope.tenant()).await?;
        let (version, _) = row::stored(&roles, name);
        if version == 0 {
            return Err(not_found("role.delete", name));
        }
        check_version("role.delete", version, expected_version)?;
        check_unused(&roles, name)?;
        for statement in [row::DELETE_HOLDERS, row::DELETE] {
            query(statement)
                .bind(scope.tenant().as_str())
                .bind(name.as_str())
                .execute(tx.conn())
                .await
                .or_fault("role.delete")?;
        }
        commit(tx, row::change(scope, ("delete", "deleted"), name, json!({ "name": name }))).await
    }

    async fn assign(&self, scope: &Scope, principal: &PrincipalId, role: &RoleName) -> Result<()> {
        let mut tx = self.kernel.begin(scope).await?;
        let exists: Option<i64> = query_scalar(row::EXISTS)
            .bind(scope.tenant().as_str())
            .bind(role.as_str())
            .fetch_optional(tx.conn())
            .await
            .or_fault("role.assign")?;
        exists.ok_or_else(|| not_found("role.assign", role))?;
        let held = held(tx.conn(), scope.tenant(), principal).await?;
        if held.contains(role) {
            return tx.rollback().await;
        }
        check_room(held.len())?;
        give(&mut tx, row::ASSIGN, principal, role).await?;
        commit(tx, row::given(scope, ("assign", "assigned"), role, principal)).await
    }

    async fn unassign(&self, scope: &Scope, principal: &PrincipalId, role: &RoleName) -> Result<()> {
        let mut tx = self.kernel.begin(scope).await?;
        if give(&mut tx, row::UNASSIGN, principal, role).await? == 0 {
            return tx.rollback().await;
        }
        commit(tx, row::given(scope, ("unassign", "unassigned"), role, principal)).await
    }

    async fn held(&self, scope: &Scope, principal: &PrincipalId) -> Result<BTreeSet<RoleName>> {
        let mut read = self.kernel.read(scope).await?;
        held(read.conn(), scope.tenant(), principal).await
    }

    async fn granted(&self, scope: &Scope, principal: &PrincipalId) -> Result<Granted> {
        let mut read = self.kernel.read(scope).await?;
        let held = held(read.conn(), scope.tenant(), principal).await?;
        if held.is_empty() {
            return Ok(Granted::default());
        }
        Ok(Granted::of(&all(read.conn(), scope.tenant()).await?, &held))
    }

    async fn holders(
        &self,
        scope: &Scope,
        role: &RoleName,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<PrincipalId>> {
        let (after, limit) = (parse_cursor(cursor)?, limit.clamp(1, MAX_PAGE));
        let mut read = self.kernel.read(scope).await?;
        let rows: Vec<String> = query_scalar(row::HOLDERS)
            .bind(scope.tenant().as_str())
            .bind(role.as_str())
            .bind(after.map_or_else(String::new, |id| id.to_string()))
            .bind(i64::from(limit) + 1)
            .fetch_all(read.conn())
            .await
            .or_fault("role.holders")?;
        let items = rows.into_iter().map(row::holder).collect::<Result<_>>()?;
        Ok(Page::cut(items, limit, |holder: &PrincipalId| holder.to_string()))
    }
}

async fn all(conn: &mut SqliteConnection, tenant: &TenantId) -> Result<Vec<Role>> {
    let rows = query_as::<_, Row>(row::ALL).bind(tenant.as_str()).fetch_all(conn).await;
    rows.or_fault("role.list")?.into_iter().map(row::role).collect()
}

async fn held(
    conn: &mut SqliteConnection,
    tenant: &TenantId,
    principal: &PrincipalId,
) -> Result<BTreeSet<RoleName>> {
    let rows = query_scalar(row::HELD).bind(tenant.as_str()).bind(principal.as_str()).fetch_all(conn).await;
    row::names(rows.or_fault("role.held")?)
}

async fn give(
    tx: &mut TenantTx,
    statement: &'static str,
    principal: &PrincipalId,
    role: &RoleName,
) -> Result<u64> {
    let done = query(statement)
        .bind(tx.tenant().as_str().to_owned())
        .bind(principal.as_str())
        .bind(role.as_str())
        .execute(tx.conn())
        .await
        .or_fault("role.assign")?;
    Ok(done.rows_affected())
}

async fn commit(mut tx: TenantTx, (event, record): (Event, AuditRecord)) -> Result<()> {
    tx.emit(event).await?;
    tx.audit(record).await?;
    tx.commit().await
}
