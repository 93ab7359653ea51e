//! Policies in PostgreSQL, in every isolation mode.
//!
//! Changes of one tenant's policy take turns by an advisory lock, so that their events come in their order.

use async_trait::async_trait;
use mcp_core::{
    Result, Scope,
    audit::AuditRecord,
    event::Event,
    scope::TenantId,
    sql::{
        OrFault as _,
        postgres::{PgKernel, TenantTx, query, query_as, query_scalar},
    },
};
use serde_json::json;
use sqlx::PgConnection;

use super::{
    KEPT_VERSIONS, NewPolicy, PolicyHead, PolicyState, PolicyStore, PolicyVersion,
    row::{self, HeadRow, Row},
    store::{check_active, not_found, not_validated, parse_cursor},
};
use crate::tenant::{MAX_PAGE, Page};

/// A [`PolicyStore`] in PostgreSQL, on a kernel that was opened with
/// [`POSTGRES_MIGRATIONS`](crate::POSTGRES_MIGRATIONS).
#[derive(Debug, Clone)]
pub struct PostgresPolicyStore {
    kernel: PgKernel,
}

impl PostgresPolicyStore {
    /// A store on `kernel`.
    #[must_use]
    pub const fn new(kernel: PgKernel) -> Self {
        Self { kernel }
    }

    /// Begins a change of the tenant's policy, when its turn has come.
    async fn begin(&self, scope: &Scope) -> Result<TenantTx> {
        let mut tx = self.kernel.begin(scope).await?;
        query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
            .bind(format!("policy/{}", scope.tenant()))
            .execute(tx.conn())
            .await
            .or_fault("policy.begin")?;
        Ok(tx)
    }
}

#[async_trait]
impl PolicyStore for PostgresPolicyStore {
    async fn draft(&self, scope: &Scope, new: NewPolicy) -> Result<PolicyVersion> {
        new.check()?;
        let data = row::data(&new.policy)?;
        let mut tx = self.begin(scope).await?;
        let (now, tenant) = (tx.now(), scope.tenant().as_str());
        let version: i64 = query_scalar(row::NEXT)
            .bind(tenant)
            .bind(now.as_micros())
            .fetch_one(tx.conn())
            .await
            .or_fault("policy.draft")?;
        query(row::INSERT)
            .bind(tenant)
            .bind(version)
            .bind(new.policy.language.as_str())
            .bind(new.policy.text.as_str())
            .bind(data)
            .bind(new.note.as_str())
            .bind(scope.principal().id.as_str())
            .bind(now.as_micros())
            .execute(tx.conn())
            .await
            .or_fault("policy.draft")?;
        query(row::PRUNE)
            .bind(tenant)
            .bind(version - i64::from(KEPT_VERSIONS))
            .execute(tx.conn())
            .await
            .or_fault("policy.prune")?;
        let head = PolicyHead {
            version,
            language: new.policy.language,
            state: PolicyState::Draft,
            note: new.note,
            author: scope.principal().id.clone(),
            created_at: now,
            validated_at: None,
        };
        commit(tx, row::drafted(scope, &head)).await?;
        Ok(PolicyVersion { head, policy: new.policy })
    }

    async fn mark_validated(&self, scope: &Scope, version: i64) -> Result<PolicyVersion> {
        const OPERATION: &str = "policy.validate";
        let mut tx = self.begin(scope).await?;
        let now = tx.now();
        let marked = query(row::VALIDATED)
            .bind(scope.tenant().as_str())
            .bind(version)
            .bind(now.as_micros())
            .execute(tx.conn())
            .await
            .or_fault(OPERATION)?;
        let found = find(tx.conn(), scope.tenant(), version).await?;
        let found = found.ok_or_else(|| not_found(OPERATION, version))?;
        if marked.rows_affected() == 0 {
            tx.rollback().await?;
            return Ok(found);
        }
        let data = json!({ "version": version });
        commit(tx, row::change(scope, ("validate", "validated"), version, data)).await?;
        Ok(found)
    }

    async fn activate(&self, scope: &Scope, version: i64, expected: i64) -> Result<i64> {
        let mut tx = self.begin(scope).await?;
        let before = active(tx.conn(), scope.tenant()).await?;
        check_active(before, expected)?;
        if version != 0 {
            let found = find(tx.conn(), scope.tenant(), version).await?;
            let found = found.ok_or_else(|| not_found("policy.activate", version))?;
            found.head.validated_at.ok_or_else(|| not_validated(version))?;
        }
        if version == before {
            tx.rollback().await?;
            return Ok(version);
        }
        let now = tx.now();
        query(row::ACTIVATE)
            .bind(scope.tenant().as_str())
            .bind(version)
            .bind(now.as_micros())
            .execute(tx.conn())
            .await
            .or_fault("policy.activate")?;
        commit(tx, row::activated(scope, version, before)).await?;
        Ok(version)
    }

    async fn active(&self, scope: &Scope) -> Result<i64> {
        let mut read = self.kernel.read(scope).await?;
        active(read.conn(), scope.tenant()).await
    }

    async fn version(&self, scope: &Scope, version: i64) -> Result<Option<PolicyVersion>> {
        let mut read = self.kernel.read(scope).await?;
        find(read.conn(), scope.tenant(), version).await
    }

    async fn versions(&self, scope: &Scope, cursor: Option<&str>, limit: u32) -> Result<Page<PolicyHead>> {
        let (before, limit) = (parse_cursor(cursor)?, limit.clamp(1, MAX_PAGE));
        let mut read = self.kernel.read(scope).await?;
        let active = active(read.conn(), scope.tenant()).await?;
        let rows = query_as::<HeadRow>(row::PAGE)
            .bind(scope.tenant().as_str())
            .bind(before)
            .bind(i64::from(limit) + 1)
            .fetch_all(read.conn())
            .await
            .or_fault("policy.list")?;
        let items = rows.into_iter().map(|row| row::head(row, active)).collect::<Result<_>>()?;
        Ok(Page::cut(items, limit, |head: &PolicyHead| head.version.to_string()))
    }
}

async fn active(conn: &mut PgConnection, tenant: &TenantId) -> Result<i64> {
    let active = query_scalar(row::ACTIVE).bind(tenant.as_str()).fetch_optional(conn).await;
    Ok(active.or_fault("policy.active")?.unwrap_or(0))
}

async fn find(conn: &mut PgConnection, tenant: &TenantId, version: i64) -> Result<Option<PolicyVersion>> {
    let active = active(conn, tenant).await?;
    let row = query_as::<Row>(row::BY_VERSION).bind(tenant.as_str()).bind(version).fetch_optional(conn);
    row.await.or_fault("policy.read")?.map(|row| row::version(row, active)).transpose()
}

async fn commit(mut tx: TenantTx, (event, record): (Event, AuditRecord)) -> Result<()> {
    tx.emit(event).await?;
    tx.audit(record).await?;
    tx.commit().await
}
