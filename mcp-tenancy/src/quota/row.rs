//! Quotas as rows, the same on both SQL backends.

use std::{sync::Arc, time::Duration};

use mcp_core::{
    Error, PlatformScope, Result, Scope,
    audit::AuditRecord,
    clock::Timestamp,
    limit::{Meter, Period},
    scope::{Permissions, Principal, PrincipalKind, TenantId},
};
use moka::future::Cache;
use serde_json::json;

use super::{
    QuotaLimit, QuotaSubject,
    decide::{Charge, Counter, Counters},
};
use crate::sql::{Change, damaged};

/// How long another replica's change to a tenant's quotas may go unseen.
const LIMITS_TTL: Duration = Duration::from_secs(1);
/// Most tenants whose quotas are kept in memory.
const LIMITS_KEPT: u64 = 10_000;
/// Most rows that one reservation sweeps away of each table.
pub(super) const SWEEP: i64 = 100;

pub(super) const LIMITS: &str = "SELECT subject, meter, period, amount FROM quota_limit WHERE tenant_id = $1 ORDER BY subject, meter, period";
pub(super) const SET: &str = "INSERT INTO quota_limit (tenant_id, subject, meter, period, amount) \
     VALUES ($1, $2, $3, $4, $5) \
     ON CONFLICT (tenant_id, subject, meter, period) DO UPDATE SET amount = excluded.amount";
pub(super) const REMOVE: &str =
    "DELETE FROM quota_limit WHERE tenant_id = $1 AND subject = $2 AND meter = $3 AND period = $4";

/// The counters that one principal's use of a meter may be counted in.
pub(super) const COUNTERS: &str = "SELECT subject, period, starts_at, used FROM quota_counter \
     WHERE tenant_id = $1 AND meter = $2 AND subject IN ('tenant', $3)";
pub(super) const ALL_COUNTERS: &str = "SELECT subject, meter, period, starts_at, used FROM quota_counter \
     WHERE tenant_id = $1 AND subject IN ('tenant', $2)";
pub(super) const COUNT: &str = "INSERT INTO quota_counter (tenant_id, subject, meter, period, starts_at, used) \
     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant_id, subject, meter, period) \
     DO UPDATE SET starts_at = excluded.starts_at, used = excluded.used";
pub(super) const FORGET_COUNTERS: &str = "DELETE FROM quota_counter WHERE tenant_id = $1 \
     AND (subject, meter, period) IN (SELECT subject, meter, period FROM quota_counter \
     WHERE tenant_id = $1 AND starts_at <= $2 ORDER BY starts_at LIMIT $3)";
pub(super) const RESET_COUNTERS: &str = "DELETE FROM quota_counter WHERE tenant_id = $1";

pub(super) const RESERVE: &str = "INSERT INTO quota_reservation \
     (tenant_id, id, meter, amount, charges, settle_by) VALUES ($1, $2, $3, $4, $5, $6)";
pub(super) const RESERVED: &str = "SELECT meter, amount, charges, actual, settle_by FROM quota_reservation WHERE tenant_id = $1 AND id = $2";
pub(super) const SETTLE: &str = "UPDATE quota_reservation SET actual = $3 WHERE tenant_id = $1 AND id = $2";
pub(super) const FORGET_RESERVATIONS: &str = "DELETE FROM quota_reservation WHERE tenant_id = $1 \
     AND id IN (SELECT id FROM quota_reservation \
     WHERE tenant_id = $1 AND settle_by <= $2 ORDER BY settle_by LIMIT $3)";
pub(super) const RESET_RESERVATIONS: &str = "DELETE FROM quota_reservation WHERE tenant_id = $1";

/// The columns as the database gives them.
pub(super) type LimitRow = (String, String, String, i64);
pub(super) type CounterRow = (String, String, i64, i64);
pub(super) type MeterCounterRow = (String, String, String, i64, i64);
pub(super) type ReservedRow = (String, i64, String, Option<i64>, i64);

/// A reservation as it is stored.
pub(super) struct Held {
    pub(super) meter: Meter,
    pub(super) amount: u64,
    pub(super) charges: Vec<Charge>,
    pub(super) is_settled: bool,
    pub(super) settle_by: Timestamp,
}

/// Tenants' quotas, so that a reservation costs one transaction.
pub(super) fn limits_cache() -> Cache<TenantId, Arc<[QuotaLimit]>> {
    Cache::builder().max_capacity(LIMITS_KEPT).time_to_live(LIMITS_TTL).build()
}

/// The scope in which a tenant's quotas are looked up for it.
pub(super) fn lookup(scope: &Scope) -> PlatformScope {
    PlatformScope::new(scope.principal().id.clone(), "find the quotas of a tenant")
        .with_request_id(scope.request_id().clone())
}

/// The scope in which what an operator does reaches a tenant's tables.
pub(super) fn within(scope: &PlatformScope, tenant: &TenantId) -> Scope {
    let principal = Principal {
        id: scope.actor().clone(),
        kind: PrincipalKind::Service,
        permissions: Permissions::default(),
    };
    Scope::new(tenant.clone(), Arc::new(principal)).with_request_id(scope.request_id().clone())
}

pub(super) fn limit((subject, meter, period, amount): LimitRow) -> Result<QuotaLimit> {
    let parse = || -> Result<_> {
        let (subject, meter) = (QuotaSubject::parse(&subject)?, Meter::parse(meter)?);
        Ok((subject, meter, Period::parse(&period)?))
    };
    let (subject, meter, period) = parse().map_err(|error| damaged("quota.limits", error))?;
    Ok(QuotaLimit { subject, meter, period, amount: unsigned(amount)? })
}

pub(super) fn counters(rows: Vec<CounterRow>) -> Result<Counters> {
    rows.into_iter()
        .map(|(subject, period, starts_at, used)| {
            let subject = QuotaSubject::parse(&subject).map_err(|error| damaged("quota.count", error))?;
            let period = Period::parse(&period).map_err(|error| damaged("quota.count", error))?;
            Ok(((subject, period), counter(starts_at, used)?))
        })
        .collect()
}

/// The counter of `limit` among rows of all meters.
pub(super) fn counter_of(limit: &QuotaLimit, rows: &[MeterCounterRow]) -> Result<Option<Counter>> {
    let subject = limit.subject.to_string();
    let row = rows.iter().find(|(of, meter, period, ..)| {
        *of == subject && meter == limit.meter.as_str() && period == limit.period.as_str()
    });
    row.map(|(.., starts_at, used)| counter(*starts_at, *used)).transpose()
}

fn counter(starts_at: i64, used: i64) -> Result<Counter> {
    Ok(Counter { starts_at: Timestamp::from_micros(starts_at), used: unsigned(used)? })
}

pub(super) fn held((meter, amount, charges, actual, settle_by): ReservedRow) -> Result<Held> {
    let bad = |error: Error| damaged("quota.settle", error);
    let charges = serde_json::from_str(&charges).map_err(|error| damaged("quota.settle", error))?;
    Ok(Held {
        meter: Meter::parse(meter).map_err(bad)?,
        amount: unsigned(amount)?,
        charges,
        is_settled: actual.is_some(),
        settle_by: Timestamp::from_micros(settle_by),
    })
}

pub(super) fn charges_json(charges: &[Charge]) -> Result<String> {
    serde_json::to_string(charges)
        .map_err(|error| Error::internal("quota.reserve", "the charges cannot be written").with_source(error))
}

/// Amounts are checked to be far below where a signed number ends.
pub(super) fn signed(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

fn unsigned(amount: i64) -> Result<u64> {
    u64::try_from(amount).map_err(|error| damaged("quota.count", error))
}

/// What is written beside a change of a quota.
pub(super) fn change(
    scope: &PlatformScope,
    (verb, done): (&'static str, &'static str),
    tenant: &TenantId,
    limit: &QuotaLimit,
) -> Change {
    let QuotaLimit { subject, meter, period, amount } = limit;
    let named = format!("{tenant}/{subject}/{meter}/{period}");
    let data =
        json!({ "tenant": tenant, "subject": subject, "meter": meter, "period": period, "amount": amount });
    Change::new(scope, ("quota", verb, done), &named, data)
}

/// The record of a reset, in the tenant's own chain.
pub(super) fn reset_record(scope: &PlatformScope, tenant: &TenantId) -> AuditRecord {
    AuditRecord::administered(scope, "quota.reset", format!("tenant/{tenant}"))
}
