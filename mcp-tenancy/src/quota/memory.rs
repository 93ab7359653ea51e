//! Quotas in memory: the readable reference.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use mcp_core::{
    PlatformScope, Result, Scope,
    clock::{Clock, SystemClock, Timestamp},
    limit::{Meter, Quota, Reservation, ReservationId},
    scope::TenantId,
};

use super::{
    MAX_LIMITS, QuotaConfig, QuotaLimit, QuotaStore, QuotaUsage,
    decide::{self, Charge, Counters, KEPT},
    model::check_amount,
    store::{counted, not_found, too_many, uncounted},
};

/// A [`QuotaStore`] in memory, gone with the process. Clones share what they hold.
#[derive(Debug, Clone)]
pub struct MemoryQuotaStore {
    clock: Arc<dyn Clock>,
    config: QuotaConfig,
    tenants: Arc<Mutex<HashMap<TenantId, Tenant>>>,
}

#[derive(Debug, Default)]
struct Tenant {
    limits: Vec<QuotaLimit>,
    counters: HashMap<Meter, Counters>,
    /// By id, which grows with time: the oldest first.
    reservations: BTreeMap<ReservationId, Held>,
}

#[derive(Debug)]
struct Held {
    reservation: Reservation,
    charges: Vec<Charge>,
    settled: bool,
}

impl Default for MemoryQuotaStore {
    fn default() -> Self {
        Self::new(QuotaConfig::default(), Arc::new(SystemClock))
    }
}

impl MemoryQuotaStore {
    /// An empty store.
    #[must_use]
    pub fn new(config: QuotaConfig, clock: Arc<dyn Clock>) -> Self {
        Self { clock, config, tenants: Arc::default() }
    }

    /// Counters and reservations remembered of a tenant now.
    #[must_use]
    pub fn remembered(&self, tenant: &TenantId) -> (usize, usize) {
        self.of(tenant, |tenant| {
            (tenant.counters.values().map(Counters::len).sum(), tenant.reservations.len())
        })
    }

    /// Forgets what is the tenant's; returns how many there were.
    pub(crate) fn erase(&self, tenant: &TenantId) -> u64 {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = tenants.remove(tenant).unwrap_or_default();
        let counters: usize = gone.counters.values().map(Counters::len).sum();
        (gone.limits.len() + counters + gone.reservations.len()) as u64
    }

    fn of<T>(&self, tenant: &TenantId, look: impl FnOnce(&mut Tenant) -> T) -> T {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        look(tenants.entry(tenant.clone()).or_default())
    }
}

impl Tenant {
    fn forget_old(&mut self, now: Timestamp) {
        while let Some(oldest) = self.reservations.first_entry()
            && oldest.get().reservation.settle_by.is_some_and(|by| by <= now)
        {
            oldest.remove();
        }
        for counters in self.counters.values_mut() {
            counters.retain(|_, counter| now.since(counter.starts_at) < KEPT);
        }
        self.counters.retain(|_, counters| !counters.is_empty());
    }
}

#[async_trait]
impl Quota for MemoryQuotaStore {
    async fn reserve(&self, scope: &Scope, meter: &Meter, amount: u64) -> Result<Reservation> {
        check_amount(amount)?;
        let now = self.clock.now();
        self.of(scope.tenant(), |tenant| {
            let applying = decide::applying(&tenant.limits, &scope.principal().id, Some(meter));
            if applying.is_empty() {
                return Ok(uncounted(meter, amount));
            }
            tenant.forget_old(now);
            let counters = tenant.counters.entry(meter.clone()).or_default();
            let changed = decide::reserve(&applying, counters, meter, amount, now)?;
            let reservation = counted(self.config, meter, amount, now);
            let charges = decide::charges(&changed);
            let held = Held { reservation: reservation.clone(), charges, settled: false };
            counters.extend(changed);
            tenant.reservations.insert(reservation.id, held);
            Ok(reservation)
        })
    }

    async fn settle(&self, scope: &Scope, reservation: &Reservation, actual: u64) -> Result<()> {
        check_amount(actual)?;
        if reservation.settle_by.is_none() {
            return Ok(());
        }
        let now = self.clock.now();
        self.of(scope.tenant(), |tenant| {
            let held = tenant.reservations.get_mut(&reservation.id);
            let held = held.filter(|held| held.reservation.settle_by.is_some_and(|by| now < by));
            let held = held.ok_or_else(not_found)?;
            if !std::mem::replace(&mut held.settled, true)
                && let Some(counters) = tenant.counters.get_mut(&held.reservation.meter)
            {
                let changed = decide::settle(&held.charges, counters, held.reservation.amount, actual);
                counters.extend(changed);
            }
            Ok(())
        })
    }
}

#[async_trait]
impl QuotaStore for MemoryQuotaStore {
    async fn set(&self, _: &PlatformScope, tenant: &TenantId, limit: QuotaLimit) -> Result<()> {
        limit.validate()?;
        self.of(tenant, |tenant| {
            let mut limits = tenant.limits.clone();
            limits.retain(|other| !other.is_of(&limit));
            if limits.len() >= MAX_LIMITS {
                return Err(too_many());
            }
            limits.push(limit);
            limits.sort_by_cached_key(|limit| (limit.subject.to_string(), limit.meter.clone(), limit.period));
            tenant.limits = limits;
            Ok(())
        })
    }

    async fn remove(&self, _: &PlatformScope, tenant: &TenantId, limit: &QuotaLimit) -> Result<()> {
        self.of(tenant, |tenant| tenant.limits.retain(|other| !other.is_of(limit)));
        Ok(())
    }

    async fn limits(&self, _: &PlatformScope, tenant: &TenantId) -> Result<Vec<QuotaLimit>> {
        Ok(self.of(tenant, |tenant| tenant.limits.clone()))
    }

    async fn reset(&self, _: &PlatformScope, tenant: &TenantId) -> Result<()> {
        self.of(tenant, |tenant| {
            tenant.counters.clear();
            tenant.reservations.clear();
        });
        Ok(())
    }

    async fn usage(&self, scope: &Scope) -> Result<Vec<QuotaUsage>> {
        let now = self.clock.now();
        Ok(self.of(scope.tenant(), |tenant| {
            let applying = decide::applying(&tenant.limits, &scope.principal().id, None);
            let of = |limit: QuotaLimit| {
                let counters = tenant.counters.get(&limit.meter);
                let key = (limit.subject.clone(), limit.period);
                let counter = counters.and_then(|counters| counters.get(&key)).copied();
                decide::usage(limit, counter, now)
            };
            applying.into_iter().map(of).collect()
        }))
    }
}
