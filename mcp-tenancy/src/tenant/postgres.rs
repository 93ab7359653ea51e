//! Tenants in PostgreSQL, in the kernel's control tables.

use async_trait::async_trait;
use mcp_core::{
    PlatformScope, Result,
    clock::Timestamp,
    scope::TenantId,
    sql::{
        OrFault as _,
        postgres::{ControlTx, PgKernel, query, query_as, query_scalar},
    },
};
use sqlx::PgConnection;

use super::{
    ErasureReceipt, ErasureStep, MAX_PAGE, NewTenant, Page, Regions, Tenant, TenantFilter, TenantProfile,
    TenantStatus, TenantStore, TierModes,
    life::{self, Words},
    row::{self, Row},
    store::{already_exists, key_reused, not_found, parse_cursor, stale},
};
use crate::sql::Change;

/// A [`TenantStore`] in PostgreSQL.
///
/// Creating a tenant also places it, in the isolation mode of its tier, and provisions the place after the
/// commit. If the process dies in between, creating it again with the same idempotency key or
/// [`PgKernel::migrate`] provisions it.
#[derive(Debug, Clone)]
pub struct PostgresTenantStore {
    kernel: PgKernel,
    modes: TierModes,
    regions: Option<Regions>,
}

impl PostgresTenantStore {
    /// A store on `kernel`, which was opened with [`POSTGRES_MIGRATIONS`](crate::POSTGRES_MIGRATIONS).
    #[must_use]
    pub const fn new(kernel: PgKernel, modes: TierModes) -> Self {
        Self { kernel, modes, regions: None }
    }

    /// The same, for tenants of `regions` only, each in the databases of its region.
    #[must_use]
    pub fn with_regions(mut self, regions: Regions) -> Self {
        self.regions = Some(regions);
        self
    }

    /// Does a step of a tenant's life: `become_` is given the tenant, its organisation and the time.
    async fn step<F>(&self, scope: &PlatformScope, words: &Words, id: &TenantId, become_: F) -> Result<Tenant>
    where
        F: FnOnce(&Tenant, Option<&Tenant>, Timestamp) -> Result<Option<Tenant>> + Send,
    {
        let mut tx = self.kernel.control(scope).await?;
        let revision = next_revision(tx.conn()).await?;
        let stored = find(tx.conn(), row::BY_ID, id.as_str()).await?;
        let stored = stored.ok_or_else(|| not_found(words.operation, id))?;
        let parent = parent_of(tx.conn(), stored.parent.as_ref()).await?;
        match become_(&stored, parent.as_ref(), tx.now())? {
            None => {
                tx.rollback().await?;
                Ok(stored)
            }
            Some(changed) => {
                let changed = row::changed(changed, revision, tx.now());
                write(&mut tx, &changed, row::change(scope, words, &changed)).await?;
                tx.commit().await?;
                Ok(changed)
            }
        }
    }
}

#[async_trait]
impl TenantStore for PostgresTenantStore {
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
            if made.deletion.is_none() {
                self.kernel.provision(scope, &made.id).await?;
            }
            return Ok(made);
        }
        refuse_taken(tx.conn(), &new).await?;
        let parent = parent_of(tx.conn(), new.parent.as_ref()).await?;
        life::check_parent(&new, parent.as_ref())?;
        let idempotency_key = new.idempotency_key.clone();
        let tenant = row::created(new, revision, tx.now());
        insert(&mut tx, &tenant, idempotency_key).await?;
        let mode = self.modes.of(&tenant.profile.tier);
        let regions = self.regions.as_ref();
        let region = regions.map(|regions| regions.place(&tenant.profile.region)).transpose()?.flatten();
        self.kernel.place_in(&mut tx, &tenant.id, mode, Some(&tenant.schema), region).await?;
        record(&mut tx, row::change(scope, &life::CREATE, &tenant)).await?;
        tx.commit().await?;
        self.kernel.provision(scope, &tenant.id).await?;
        Ok(tenant)
    }

    async fn get(&self, scope: &PlatformScope, id: &TenantId) -> Result<Option<Tenant>> {
        let mut read = self.kernel.control_read(scope).await?;
        find(read.conn(), row::BY_ID, id.as_str()).await
    }

    async fn list(
        &self,
        scope: &PlatformScope,
        filter: &TenantFilter,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Tenant>> {
        let (after, limit) = (parse_cursor(cursor)?, limit.clamp(1, MAX_PAGE));
        let mut read = self.kernel.control_read(scope).await?;
        let rows = query_as::<Row>(row::PAGE)
            .bind(after.map_or_else(String::new, |id| id.to_string()))
            .bind(i64::from(limit) + 1)
            .bind(filter.status.map_or("", TenantStatus::as_str))
            .bind(filter.parent.as_ref().map_or_else(String::new, ToString::to_string))
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
        let changed = row::changed(life::update(&stored, profile)?, revision, tx.now());
        write(&mut tx, &changed, row::change(scope, &life::UPDATE, &changed)).await?;
        tx.commit().await?;
        Ok(changed)
    }

    async fn suspend(&self, scope: &PlatformScope, id: &TenantId) -> Result<Tenant> {
        self.step(scope, &life::SUSPEND, id, |tenant, _, _| life::suspend(tenant)).await
    }

    async fn resume(&self, scope: &PlatformScope, id: &TenantId) -> Result<Tenant> {
        self.step(scope, &life::RESUME, id, |tenant, _, _| life::resume(tenant)).await
    }

    async fn delete(&self, scope: &PlatformScope, id: &TenantId, erase_after: Timestamp) -> Result<Tenant> {
        let delete = |tenant: &Tenant, _: Option<&Tenant>, now| Ok(life::delete(tenant, now, erase_after));
        self.step(scope, &life::DELETE, id, delete).await
    }

    async fn restore(&self, scope: &PlatformScope, id: &TenantId) -> Result<Tenant> {
        self.step(scope, &life::RESTORE, id, |tenant, parent, _| life::restore(tenant, parent)).await
    }

    async fn due(&self, scope: &PlatformScope, after: Option<&TenantId>, limit: u32) -> Result<Vec<Tenant>> {
        let mut read = self.kernel.control_read(scope).await?;
        let rows = query_as::<Row>(row::DUE)
            .bind(after.map_or_else(String::new, ToString::to_string))
            .bind(self.kernel.now().as_micros())
            .bind(i64::from(limit.clamp(1, MAX_PAGE)))
            .fetch_all(read.conn())
            .await
            .or_fault("tenant.due")?;
        rows.into_iter().map(row::tenant).collect()
    }

    async fn begin_erasure(&self, scope: &PlatformScope, id: &TenantId) -> Result<Tenant> {
        self.step(scope, &life::ERASING, id, life::begin_erasure).await
    }

    async fn record_step(&self, scope: &PlatformScope, id: &TenantId, step: &ErasureStep) -> Result<()> {
        let mut tx = self.kernel.control(scope).await?;
        let stored = find(tx.conn(), row::BY_ID, id.as_str()).await?;
        stored.ok_or_else(|| not_found(life::ERASING.operation, id))?;
        query(row::RECORD_STEP)
            .bind(id.as_str())
            .bind(step.name.as_str())
            .bind(step.finished_at.as_micros())
            .bind(row::erased(step)?)
            .execute(tx.conn())
            .await
            .or_fault("tenant.erase")?;
        tx.commit().await
    }

    async fn steps(&self, scope: &PlatformScope, id: &TenantId) -> Result<Vec<ErasureStep>> {
        let mut read = self.kernel.control_read(scope).await?;
        let rows = query_as(row::STEPS).bind(id.as_str()).fetch_all(read.conn()).await;
        rows.or_fault("tenant.erase")?.into_iter().map(row::step).collect()
    }

    async fn erased(&self, scope: &PlatformScope, receipt: &ErasureReceipt) -> Result<Tenant> {
        let (id, text) = (&receipt.tenant, receipt.to_json()?);
        let mut tx = self.kernel.control(scope).await?;
        let revision = next_revision(tx.conn()).await?;
        let stored = find(tx.conn(), row::BY_ID, id.as_str()).await?;
        let stored = stored.ok_or_else(|| not_found(life::ERASE.operation, id))?;
        let projects: i64 = query_scalar(row::HAS_PROJECTS)
            .bind(id.as_str())
            .fetch_one(tx.conn())
            .await
            .or_fault("tenant.erase")?;
        let Some(tombstone) = life::erased(&stored, projects > 0, tx.now())? else {
            tx.rollback().await?;
            return Ok(stored);
        };
        let tombstone = row::changed(tombstone, revision, tx.now());
        write(&mut tx, &tombstone, row::erasure(scope, &tombstone, receipt, &text)).await?;
        let kept = query(row::KEEP_RECEIPT).bind(id.as_str()).bind(text).execute(tx.conn()).await;
        kept.or_fault("tenant.erase")?;
        tx.commit().await?;
        Ok(tombstone)
    }

    async fn receipt(&self, scope: &PlatformScope, id: &TenantId) -> Result<Option<ErasureReceipt>> {
        let mut read = self.kernel.control_read(scope).await?;
        let text: Option<String> = query_scalar(row::RECEIPT)
            .bind(id.as_str())
            .fetch_optional(read.conn())
            .await
            .or_fault("tenant.receipt")?;
        text.as_deref().map(ErasureReceipt::from_json).transpose()
    }

    async fn changes_since(&self, scope: &PlatformScope, revision: i64, limit: u32) -> Result<Vec<Tenant>> {
        let mut read = self.kernel.control_read(scope).await?;
        let rows = query_as::<Row>(row::CHANGES)
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
async fn next_revision(conn: &mut PgConnection) -> Result<i64> {
    query_scalar(row::NEXT_REVISION).fetch_one(conn).await.or_fault("tenant.revision")
}

async fn find(conn: &mut PgConnection, query: &'static str, key: &str) -> Result<Option<Tenant>> {
    let row = query_as::<Row>(query).bind(key).fetch_optional(conn).await.or_fault("tenant.get")?;
    row.map(row::tenant).transpose()
}

async fn parent_of(conn: &mut PgConnection, parent: Option<&TenantId>) -> Result<Option<Tenant>> {
    match parent {
        None => Ok(None),
        Some(parent) => find(conn, row::BY_ID, parent.as_str()).await,
    }
}

async fn refuse_taken(conn: &mut PgConnection, new: &NewTenant) -> Result<()> {
    let taken: Option<String> = query_scalar(row::TAKEN)
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
    query(row::INSERT)
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
        .bind(tenant.parent.as_ref().map(|parent| parent.to_string()))
        .execute(tx.conn())
        .await
        .or_fault("tenant.create")?;
    Ok(())
}

async fn write(tx: &mut ControlTx, tenant: &Tenant, change: Change) -> Result<()> {
    let (profile, deletion) = (&tenant.profile, tenant.deletion.as_ref());
    query(row::UPDATE)
        .bind(tenant.id.as_str())
        .bind(profile.name.as_str())
        .bind(row::features(profile)?)
        .bind(i64::from(profile.limits.requests_per_minute.get()))
        .bind(i64::from(profile.limits.concurrent_contexts.get()))
        .bind(profile.tier.as_str())
        .bind(profile.region.as_str())
        .bind(row::stored_status(tenant.status).as_str())
        .bind(tenant.updated_at.as_micros())
        .bind(tenant.version)
        .bind(tenant.revision)
        .bind(deletion.map(|deletion| deletion.deleted_at.as_micros()))
        .bind(deletion.map(|deletion| deletion.erase_after.as_micros()))
        .bind(deletion.map(|deletion| deletion.restores_to.as_str()))
        .bind(deletion.and_then(|deletion| deletion.erasing_since).map(Timestamp::as_micros))
        .bind(deletion.and_then(|deletion| deletion.erased_at).map(Timestamp::as_micros))
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
