//! Tenants in SQLite, in the kernel's control tables.

use async_trait::async_trait;
use mcp_core::{
    PlatformScope, Result,
    scope::TenantId,
    sql::{
        OrFault as _,
        sqlite::{ControlTx, SqliteKernel},
    },
};
use sqlx::SqliteConnection;

use super::{
    MAX_PAGE, NewTenant, Page, Tenant, TenantProfile, TenantStatus, TenantStore, TierModes,
    row::{self, Row},
    store::{already_exists, key_reused, not_found, parse_cursor, stale},
};
use crate::sql::Change;

/// A [`TenantStore`] in SQLite.
///
/// Creating a tenant also places it, in the isolation mode of its tier, and provisions the place after the
/// commit. If the process dies in between, creating it again with the same idempotency key or
/// [`SqliteKernel::migrate`] provisions it.
#[derive(Debug, Clone)]
pub struct SqliteTenantStore {
    kernel: SqliteKernel,
    modes: TierModes,
}

impl SqliteTenantStore {
    /// A store on `kernel`, which was opened with [`SQLITE_MIGRATIONS`](crate::SQLITE_MIGRATIONS).
    #[must_use]
    pub const fn new(kernel: SqliteKernel, modes: TierModes) -> Self {
        Self { kernel, modes }
    }

    async fn set_status(
        &self,
        scope: &PlatformScope,
        id: &TenantId,
        status: TenantStatus,
        words: (&'static str, &'static str),
        operation: &'static str,
    ) -> Result<Tenant> {
        let mut tx = self.kernel.control(scope).await?;
        let revision = next_revision(tx.conn()).await?;
        let stored =
            find(tx.conn(), row::BY_ID, id.as_str()).await?.ok_or_else(|| not_found(operation, id))?;
        if stored.status == status {
            tx.rollback().await?;
            return Ok(stored);
        }
        let changed = row::changed(Tenant { status, ..stored }, revision, tx.now());
        write(&mut tx, &changed, row::change(scope, words, &changed)).await?;
        tx.commit().await?;
        Ok(changed)
    }
}

#[async_trait]
impl TenantStore for SqliteTenantStore {
    async fn create(&self, scope: &PlatformScope, new: NewTenant) -> Result<Tenant> {
        new.validate()?;
        let mut tx = self.kernel.control(scope).await?;
        let revision = next_revision(tx.conn()).await?;
        if let Some(key) = &new.idempotency_key
            && let Some(made) = find(tx.conn(), row::BY_KEY, key).await?
        {
            tx.rollback().await?;
            if !new.made(&made) {
                return Err(key_reused());
            }
            self.kernel.provision(scope, &made.id).await?;
            return Ok(made);
        }
        refuse_taken(tx.conn(), &new).await?;
        let idempotency_key = new.idempotency_key.clone();
        let tenant = row::created(new, revision, tx.now());
        insert(&mut tx, &tenant, idempotency_key).await?;
        let mode = self.modes.of(&tenant.profile.tier);
        self.kernel.place(&mut tx, &tenant.id, mode, Some(&tenant.schema)).await?;
        record(&mut tx, row::change(scope, ("create", "created"), &tenant)).await?;
        tx.commit().await?;
        self.kernel.provision(scope, &tenant.id).await?;
        Ok(tenant)
    }

    async fn get(&self, scope: &PlatformScope, id: &TenantId) -> Result<Option<Tenant>> {
        let mut read = self.kernel.control_read(scope).await?;
        find(read.conn(), row::BY_ID, id.as_str()).await
    }

    async fn list(&self, scope: &PlatformScope, cursor: Option<&str>, limit: u32) -> Result<Page<Tenant>> {
        let (after, limit) = (parse_cursor(cursor)?, limit.clamp(1, MAX_PAGE));
        let mut read = self.kernel.control_read(scope).await?;
        let rows = sqlx::query_as::<_, Row>(row::PAGE)
            .bind(after.map_or_else(String::new, |id| id.to_string()))
            .bind(i64::from(limit) + 1)
            .fetch_all(read.conn())
            .await
            .or_fault("tenant.list")?;
        let items = rows.into_iter().map(row::tenant).collect::<Result<_>>()?;
        Ok(Page::cut(items, limit, |tenant: &Tenant| tenant.id.to_string()))
    }

    async fn update(
        &self,
        scope: &PlatformScope,
        id: &TenantId,
        profile: TenantProfile,
        expected_version: i64,
    ) -> Result<Tenant> {
        profile.validate()?;
        let mut tx = self.kernel.control(scope).await?;
        let revision = next_revision(tx.conn()).await?;
        let stored = find(tx.conn(), row::BY_ID, id.as_str()).await?;
        let stored = stored.ok_or_else(|| not_found("tenant.update", id))?;
        if stored.version != expected_version {
            return Err(stale(stored.version));
        }
        self.modes.require_same(&stored.profile.tier, &profile.tier)?;
        let changed = row::changed(Tenant { profile, ..stored }, revision, tx.now());
        write(&mut tx, &changed, row::change(scope, ("update", "updated"), &changed)).await?;
        tx.commit().await?;
        Ok(changed)
    }

    async fn suspend(&self, scope: &PlatformScope, id: &TenantId) -> Result<Tenant> {
        let words = ("suspend", "suspended");
        self.set_status(scope, id, TenantStatus::Suspended, words, "tenant.suspend").await
    }

    async fn resume(&self, scope: &PlatformScope, id: &TenantId) -> Result<Tenant> {
        let words = ("resume", "resumed");
        self.set_status(scope, id, TenantStatus::Active, words, "tenant.resume").await
    }

    async fn changes_since(&self, scope: &PlatformScope, revision: i64, limit: u32) -> Result<Vec<Tenant>> {
        let mut read = self.kernel.control_read(scope).await?;
        let rows = sqlx::query_as::<_, Row>(row::CHANGES)
            .bind(revision)
            .bind(i64::from(limit.clamp(1, MAX_PAGE)))
            .fetch_all(read.conn())
            .await
            .or_fault("tenant.changes")?;
        rows.into_iter().map(row::tenant).collect()
    }
}

/// Takes the next revision and, until the transaction ends, every other writer's turn: what is read after
/// this is what is there, and revisions become visible in their order.
async fn next_revision(conn: &mut SqliteConnection) -> Result<i64> {
    sqlx::query_scalar(row::NEXT_REVISION).fetch_one(conn).await.or_fault("tenant.revision")
}

async fn find(conn: &mut SqliteConnection, query: &'static str, key: &str) -> Result<Option<Tenant>> {
    let row = sqlx::query_as::<_, Row>(query).bind(key).fetch_optional(conn).await.or_fault("tenant.get")?;
    row.map(row::tenant).transpose()
}

async fn refuse_taken(conn: &mut SqliteConnection, new: &NewTenant) -> Result<()> {
    let taken: Option<String> = sqlx::query_scalar(row::TAKEN)
        .bind(new.id.as_str())
        .bind(new.schema.as_str())
        .fetch_optional(conn)
        .await
        .or_fault("tenant.create")?;
    match taken {
        None => Ok(()),
        Some(id) if id == new.id.as_str() => Err(already_exists("id", new.id.as_str())),
        Some(_) => Err(already_exists("schema", new.schema.as_str())),
    }
}

async fn insert(tx: &mut ControlTx, tenant: &Tenant, idempotency_key: Option<String>) -> Result<()> {
    let profile = &tenant.profile;
    sqlx::query(row::INSERT)
        .bind(tenant.id.as_str())
        .bind(profile.name.as_str())
        .bind(row::features(profile)?)
        .bind(i64::from(profile.limits.requests_per_minute.get()))
        .bind(i64::from(profile.limits.concurrent_contexts.get()))
        .bind(profile.tier.as_str())
        .bind(profile.region.as_str())
        .bind(tenant.status.as_str())
        .bind(tenant.schema.as_str())
        .bind(tenant.created_at.as_micros())
        .bind(tenant.updated_at.as_micros())
        .bind(tenant.version)
        .bind(tenant.revision)
        .bind(idempotency_key)
        .execute(tx.conn())
        .await
        .or_fault("tenant.create")?;
    Ok(())
}

async fn write(tx: &mut ControlTx, tenant: &Tenant, change: Change) -> Result<()> {
    let profile = &tenant.profile;
    sqlx::query(row::UPDATE)
        .bind(tenant.id.as_str())
        .bind(profile.name.as_str())
        .bind(row::features(profile)?)
        .bind(i64::from(profile.limits.requests_per_minute.get()))
        .bind(i64::from(profile.limits.concurrent_contexts.get()))
        .bind(profile.tier.as_str())
        .bind(profile.region.as_str())
        .bind(tenant.status.as_str())
        .bind(tenant.updated_at.as_micros())
        .bind(tenant.version)
        .bind(tenant.revision)
        .execute(tx.conn())
        .await
        .or_fault("tenant.update")?;
    record(tx, change).await
}

async fn record(tx: &mut ControlTx, change: Change) -> Result<()> {
    tx.emit(change.event).await?;
    tx.audit(change.record).await?;
    Ok(())
}
