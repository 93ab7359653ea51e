//! Quotas in SQLite: limits in the kernel's control tables, counters in the tenant's place.

use std::sync::Arc;

use async_trait::async_trait;
use mcp_core::{
    PlatformScope, Result, Scope,
    limit::{Meter, Quota, Reservation},
    scope::TenantId,
    sql::{
        OrFault as _,
        sqlite::{ControlTx, SqliteKernel, TenantTx},
    },
};
use moka::future::Cache;
use sqlx::SqliteConnection;

use super::{
    MAX_LIMITS, QuotaConfig, QuotaLimit, QuotaStore, QuotaSubject, QuotaUsage,
    decide::{self, Counters, KEPT},
    model::check_amount,
    row::{self, signed},
    store::{counted, not_found, too_many, uncounted},
};
use crate::sql::Change;

/// A [`QuotaStore`] in SQLite.
#[derive(Debug, Clone)]
pub struct SqliteQuotaStore {
    kernel: SqliteKernel,
    config: QuotaConfig,
    limits: Cache<TenantId, Arc<[QuotaLimit]>>,
}

impl SqliteQuotaStore {
    /// A store on `kernel`, which was opened with [`SQLITE_MIGRATIONS`](crate::SQLITE_MIGRATIONS). The clock
    /// is the kernel's.
    #[must_use]
    pub fn new(kernel: SqliteKernel, config: QuotaConfig) -> Self {
        Self { kernel, config, limits: row::limits_cache() }
    }

    /// The quotas that apply to the scope. Asked before a transaction is begun, so that none is held while
    /// another is waited for.
    async fn applying(&self, scope: &Scope, meter: Option<&Meter>) -> Result<Vec<QuotaLimit>> {
        let tenant = scope.tenant();
        let limits = match self.limits.get(tenant).await {
            Some(known) => known,
            None => {
                let read: Arc<[_]> = self.limits(&row::lookup(scope), tenant).await?.into();
                self.limits.insert(tenant.clone(), read.clone()).await;
                read
            }
        };
        Ok(decide::applying(&limits, &scope.principal().id, meter))
    }
}

#[async_trait]
impl Quota for SqliteQuotaStore {
    async fn reserve(&self, scope: &Scope, meter: &Meter, amount: u64) -> Result<Reservation> {
        const OPERATION: &str = "quota.reserve";
        check_amount(amount)?;
        let applying = self.applying(scope, Some(meter)).await?;
        if applying.is_empty() {
            return Ok(uncounted(meter, amount));
        }
        let mut tx = self.kernel.begin(scope).await?;
        forget_old(&mut tx).await?;
        let (now, tenant) = (tx.now(), tx.tenant().to_string());
        let stored = counters(&mut tx, meter, &QuotaSubject::Principal(scope.principal().id.clone())).await?;
        let changed = decide::reserve(&applying, &stored, meter, amount, now)?;
        count(&mut tx, meter, &changed).await?;
        let reservation = counted(self.config, meter, amount, now);
        sqlx::query(row::RESERVE)
            .bind(tenant)
            .bind(reservation.id.to_string())
            .bind(meter.as_str())
            .bind(signed(amount))
            .bind(row::charges_json(&decide::charges(&changed))?)
            .bind(reservation.settle_by.map(|by| by.as_micros()))
            .execute(tx.conn())
            .await
            .or_fault(OPERATION)?;
        tx.commit().await?;
        Ok(reservation)
    }

    async fn settle(&self, scope: &Scope, reservation: &Reservation, actual: u64) -> Result<()> {
        const OPERATION: &str = "quota.settle";
        check_amount(actual)?;
        if reservation.settle_by.is_none() {
            return Ok(());
        }
        let mut tx = self.kernel.begin(scope).await?;
        let (tenant, id) = (tx.tenant().to_string(), reservation.id.to_string());
        let found = sqlx::query_as(row::RESERVED).bind(&tenant).bind(&id).fetch_optional(tx.conn()).await;
        let held = found.or_fault(OPERATION)?.map(row::held).transpose()?;
        let held = held.filter(|held| tx.now() < held.settle_by).ok_or_else(not_found)?;
        if held.is_settled {
            return tx.rollback().await;
        }
        let own = held.charges.iter().find(|charge| charge.subject != QuotaSubject::Tenant);
        let own = own.map_or(QuotaSubject::Tenant, |charge| charge.subject.clone());
        let stored = counters(&mut tx, &held.meter, &own).await?;
        let changed = decide::settle(&held.charges, &stored, held.amount, actual);
        count(&mut tx, &held.meter, &changed).await?;
        sqlx::query(row::SETTLE)
            .bind(tenant)
            .bind(id)
            .bind(signed(actual))
            .execute(tx.conn())
            .await
            .or_fault(OPERATION)?;
        tx.commit().await
    }
}

#[async_trait]
impl QuotaStore for SqliteQuotaStore {
    async fn set(&self, scope: &PlatformScope, tenant: &TenantId, limit: QuotaLimit) -> Result<()> {
        limit.validate()?;
        let mut tx = self.kernel.control(scope).await?;
        let stored = limits(tx.conn(), tenant).await?;
        if stored.contains(&limit) {
            return tx.rollback().await;
        }
        if stored.iter().filter(|other| !other.is_of(&limit)).count() >= MAX_LIMITS {
            return Err(too_many());
        }
        sqlx::query(row::SET)
            .bind(tenant.as_str())
            .bind(limit.subject.to_string())
            .bind(limit.meter.as_str())
            .bind(limit.period.as_str())
            .bind(signed(limit.amount))
            .execute(tx.conn())
            .await
            .or_fault("quota.set")?;
        record(&mut tx, row::change(scope, ("set", "set"), tenant, &limit)).await?;
        tx.commit().await?;
        self.limits.invalidate(tenant).await;
        Ok(())
    }

    async fn remove(&self, scope: &PlatformScope, tenant: &TenantId, limit: &QuotaLimit) -> Result<()> {
        let mut tx = self.kernel.control(scope).await?;
        let removed = sqlx::query(row::REMOVE)
            .bind(tenant.as_str())
            .bind(limit.subject.to_string())
            .bind(limit.meter.as_str())
            .bind(limit.period.as_str())
            .execute(tx.conn())
            .await
            .or_fault("quota.remove")?;
        if removed.rows_affected() == 0 {
            return tx.rollback().await;
        }
        record(&mut tx, row::change(scope, ("remove", "removed"), tenant, limit)).await?;
        tx.commit().await?;
        self.limits.invalidate(tenant).await;
        Ok(())
    }

    async fn limits(&self, scope: &PlatformScope, tenant: &TenantId) -> Result<Vec<QuotaLimit>> {
        let mut read = self.kernel.control_read(scope).await?;
        limits(read.conn(), tenant).await
    }

    async fn reset(&self, scope: &PlatformScope, tenant: &TenantId) -> Result<()> {
        let mut tx = self.kernel.begin(&row::within(scope, tenant)).await?;
        for statement in [row::RESET_COUNTERS, row::RESET_RESERVATIONS] {
            sqlx::query(statement).bind(tenant.as_str()).execute(tx.conn()).await.or_fault("quota.reset")?;
        }
        tx.audit(row::reset_record(scope, tenant)).await?;
        tx.commit().await
    }

    async fn usage(&self, scope: &Scope) -> Result<Vec<QuotaUsage>> {
        let applying = self.applying(scope, None).await?;
        let mut tx = self.kernel.begin(scope).await?;
        let now = tx.now();
        let rows = sqlx::query_as::<_, row::MeterCounterRow>(row::ALL_COUNTERS)
            .bind(scope.tenant().as_str())
            .bind(QuotaSubject::Principal(scope.principal().id.clone()).to_string())
            .fetch_all(tx.conn())
            .await
            .or_fault("quota.usage")?;
        tx.rollback().await?;
        let of = |limit: QuotaLimit| {
            let counter = row::counter_of(&limit, &rows)?;
            Ok(decide::usage(limit, counter, now))
        };
        applying.into_iter().map(of).collect()
    }
}

async fn limits(conn: &mut SqliteConnection, tenant: &TenantId) -> Result<Vec<QuotaLimit>> {
    let rows = sqlx::query_as(row::LIMITS).bind(tenant.as_str()).fetch_all(conn).await;
    rows.or_fault("quota.limits")?.into_iter().map(row::limit).collect()
}

/// One meter's counters of the tenant and of `own`.
async fn counters(tx: &mut TenantTx, meter: &Meter, own: &QuotaSubject) -> Result<Counters> {
    let tenant = tx.tenant().to_string();
    let rows = sqlx::query_as(row::COUNTERS)
        .bind(tenant)
        .bind(meter.as_str())
        .bind(own.to_string())
        .fetch_all(tx.conn())
        .await;
    row::counters(rows.or_fault("quota.count")?)
}

async fn count(tx: &mut TenantTx, meter: &Meter, changed: &Counters) -> Result<()> {
    let tenant = tx.tenant().to_string();
    for ((subject, period), counter) in changed {
        sqlx::query(row::COUNT)
            .bind(&tenant)
            .bind(subject.to_string())
            .bind(meter.as_str())
            .bind(period.as_str())
            .bind(counter.starts_at.as_micros())
            .bind(signed(counter.used))
            .execute(tx.conn())
            .await
            .or_fault("quota.count")?;
    }
    Ok(())
}

/// Keeps both tables of the tenant bounded: each reservation removes more than it adds.
async fn forget_old(tx: &mut TenantTx) -> Result<()> {
    let (tenant, now) = (tx.tenant().to_string(), tx.now().as_micros());
    let kept = i64::try_from(KEPT.as_micros()).unwrap_or(i64::MAX);
    for (statement, until) in
        [(row::FORGET_COUNTERS, now.saturating_sub(kept)), (row::FORGET_RESERVATIONS, now)]
    {
        sqlx::query(statement)
            .bind(&tenant)
            .bind(until)
            .bind(row::SWEEP)
            .execute(tx.conn())
            .await
            .or_fault("quota.reserve")?;
    }
    Ok(())
}

async fn record(tx: &mut ControlTx, change: Change) -> Result<()> {
    tx.emit(change.event).await?;
    tx.audit(change.record).await?;
    Ok(())
}
