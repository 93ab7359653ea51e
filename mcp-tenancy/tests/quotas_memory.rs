//! The suite of quotas in memory, proof that it bites, and a property against a model.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not test functions")]

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use mcp_core::{
    Error, PlatformScope, Result, Scope,
    clock::{Clock as _, ManualClock, Timestamp},
    limit::{Meter, Period, Quota, Reservation, ReservationId},
    scope::{Permissions, Principal, PrincipalId, PrincipalKind, TenantId},
};
use mcp_tenancy::{
    conformance::{self, QUOTA_NOON, QUOTA_STORE, QuotaHarness},
    quota::{MemoryQuotaStore, QuotaConfig, QuotaLimit, QuotaStore, QuotaSubject, QuotaUsage},
};
use proptest::prelude::*;

#[tokio::test]
async fn memory_quota_store() {
    let report = conformance::run(QUOTA_STORE, async || {
        let clock = ManualClock::new(QUOTA_NOON);
        let store = Arc::new(MemoryQuotaStore::new(QuotaConfig::default(), Arc::new(clock.clone())));
        Arc::new(QuotaHarness { store, clock })
    });
    if let Some(failures) = report.await.failures() {
        panic!("{failures}");
    }
}

/// A store with the bugs such stores have: it looks first and counts later, one quota after the other, in
/// whatever period the clock shows; it believes every settlement, and forgets whose they are.
#[derive(Debug)]
struct Sloppy {
    clock: ManualClock,
    limits: Mutex<Vec<QuotaLimit>>,
    used: Mutex<HashMap<(QuotaSubject, Period, Timestamp), u64>>,
}

impl Sloppy {
    fn key(&self, limit: &QuotaLimit) -> (QuotaSubject, Period, Timestamp) {
        (limit.subject.clone(), limit.period, limit.period.window(self.clock.now()).start)
    }
}

#[async_trait]
impl Quota for Sloppy {
    async fn reserve(&self, _: &Scope, meter: &Meter, amount: u64) -> Result<Reservation> {
        let limits = self.limits.lock().unwrap().clone();
        for limit in &limits {
            let key = self.key(limit);
            let used = self.used.lock().unwrap().get(&key).copied().unwrap_or(0);
            tokio::task::yield_now().await;
            if used + amount > limit.amount {
                return Err(Error::new(mcp_core::ErrorKind::RateLimited, "quota.reserve", "no"));
            }
            *self.used.lock().unwrap().entry(key).or_default() += amount;
        }
        let settle_by = Some(self.clock.now());
        Ok(Reservation { id: ReservationId::generate(), meter: meter.clone(), amount, settle_by })
    }
    async fn settle(&self, _: &Scope, reservation: &Reservation, actual: u64) -> Result<()> {
        for limit in self.limits.lock().unwrap().iter() {
            let mut used = self.used.lock().unwrap();
            let used = used.entry(self.key(limit)).or_default();
            *used = used.saturating_sub(reservation.amount) + actual;
        }
        Ok(())
    }
}

#[async_trait]
impl QuotaStore for Sloppy {
    async fn set(&self, _: &PlatformScope, _: &TenantId, limit: QuotaLimit) -> Result<()> {
        self.limits.lock().unwrap().push(limit);
        Ok(())
    }
    async fn remove(&self, _: &PlatformScope, _: &TenantId, limit: &QuotaLimit) -> Result<()> {
        self.limits.lock().unwrap().retain(|other| other != limit);
        Ok(())
    }
    async fn limits(&self, _: &PlatformScope, _: &TenantId) -> Result<Vec<QuotaLimit>> {
        Ok(self.limits.lock().unwrap().clone())
    }
    async fn reset(&self, _: &PlatformScope, _: &TenantId) -> Result<()> {
        Ok(())
    }
    async fn usage(&self, _: &Scope) -> Result<Vec<QuotaUsage>> {
        let limits = self.limits.lock().unwrap().clone();
        let usage = |limit: QuotaLimit| QuotaUsage {
            used: self.used.lock().unwrap().get(&self.key(&limit)).copied().unwrap_or(0),
            window: limit.period.window(self.clock.now()),
            subject: limit.subject,
            meter: limit.meter,
            limit: limit.amount,
        };
        Ok(limits.into_iter().map(usage).collect())
    }
}

#[tokio::test]
async fn a_sloppy_quota_store_is_found_out() {
    let report = conformance::run(QUOTA_STORE, async || {
        let clock = ManualClock::new(QUOTA_NOON);
        let store = Sloppy { clock: clock.clone(), limits: Mutex::default(), used: Mutex::default() };
        Arc::new(QuotaHarness { store: Arc::new(store), clock })
    });
    let report = report.await;
    for (promise, _) in QUOTA_STORE.iter().filter(|(promise, _)| *promise != "the_rest_goes_back") {
        assert!(report.failed(promise), "`{promise}` was not found broken");
    }
}

#[derive(Debug, Clone)]
enum Step {
    Reserve {
        principal: usize,
        amount: u64,
    },
    Settle {
        which: usize,
        actual: u64,
    },
    /// Seconds the clock moves, backwards too.
    Clock(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_usize..3, 0_u64..40).prop_map(|(principal, amount)| Step::Reserve { principal, amount }),
        3 => (0_usize..1000, 0_u64..60).prop_map(|(which, actual)| Step::Settle { which, actual }),
        2 => (-90_000_i64..180_000).prop_map(Step::Clock),
        1 => (0_i64..4000).prop_map(Step::Clock),
    ]
}

/// The naive model: every reservation there ever was, and which periods it was made in.
#[derive(Debug, Default)]
struct Model {
    made: Vec<Made>,
}

#[derive(Debug)]
struct Made {
    reservation: Reservation,
    principal: usize,
    charges: Vec<(usize, Timestamp)>,
    counts: u64,
    is_settled: bool,
}

const LIMITS: [(&str, Period, u64); 4] = [
    ("tenant", Period::Day, 90),
    ("tenant", Period::Month, 150),
    ("each_principal", Period::Day, 50),
    ("principal/u2", Period::Day, 70),
];

impl Model {
    /// Which of the limits apply to a principal.
    fn applying(principal: usize) -> [usize; 3] {
        [0, 1, if principal == 2 { 3 } else { 2 }]
    }

    fn of(&self, limit: usize, principal: usize) -> impl Iterator<Item = (Timestamp, u64)> {
        let same = move |made: &&Made| limit < 2 || made.principal == principal;
        let charges = move |made: &Made| {
            let counts = made.counts;
            made.charges
                .iter()
                .filter(move |(of, _)| *of == limit)
                .map(move |(_, start)| (*start, counts))
                .collect::<Vec<_>>()
        };
        self.made.iter().filter(same).flat_map(charges).collect::<Vec<_>>().into_iter()
    }

    /// The period that counts: the clock's, or a later one that was counted in before.
    fn start(&self, limit: usize, principal: usize, now: Timestamp) -> Timestamp {
        let shown = LIMITS[limit].1.window(now).start;
        self.of(limit, principal).map(|(start, _)| start).chain([shown]).max().unwrap()
    }

    fn used(&self, limit: usize, principal: usize, now: Timestamp) -> u64 {
        let start = self.start(limit, principal, now);
        self.of(limit, principal).filter(|(of, _)| *of == start).map(|(_, counts)| counts).sum()
    }
}

fn who(principal: usize) -> Scope {
    let principal = Principal {
        id: PrincipalId::parse(&format!("u{principal}")).unwrap(),
        kind: PrincipalKind::User,
        permissions: Permissions::default(),
    };
    Scope::new(TenantId::parse("acme").unwrap(), Arc::new(principal))
}

async fn as_the_model_does(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let clock = ManualClock::new(QUOTA_NOON);
    let store = MemoryQuotaStore::new(QuotaConfig::default(), Arc::new(clock.clone()));
    let operator = PlatformScope::new(PrincipalId::parse("operator").unwrap(), "a test");
    let (acme, meter) = (TenantId::parse("acme").unwrap(), Meter::parse("chat.tokens").unwrap());
    for (subject, period, amount) in LIMITS {
        let subject = QuotaSubject::parse(subject).unwrap();
        let limit = QuotaLimit { subject, meter: meter.clone(), period, amount };
        store.set(&operator, &acme, limit).await.unwrap();
    }
    let mut model = Model::default();
    for step in steps {
        let now = clock.now();
        match step {
            Step::Clock(seconds) => {
                clock.set(Timestamp::from_micros(now.as_micros() + seconds * 1_000_000));
            }
            Step::Reserve { principal, amount } => {
                let applying = Model::applying(principal);
                // What was settled for more than was reserved may be above the quota: then nothing is left.
                let left = |limit: usize| LIMITS[limit].2.saturating_sub(model.used(limit, principal, now));
                let fits = applying.iter().all(|limit| amount <= left(*limit));
                let reserved = store.reserve(&who(principal), &meter, amount).await;
                prop_assert_eq!(reserved.is_ok(), fits, "{} of {} at {}", amount, principal, now);
                if let Ok(reservation) = reserved {
                    let charges =
                        applying.iter().map(|limit| (*limit, model.start(*limit, principal, now))).collect();
                    model.made.push(Made {
                        reservation,
                        principal,
                        charges,
                        counts: amount,
                        is_settled: false,
                    });
                }
            }
            Step::Settle { which, actual } => {
                let count = model.made.len();
                if count == 0 {
                    continue;
                }
                let made = &mut model.made[which % count];
                let settled = store.settle(&who(made.principal), &made.reservation, actual).await;
                // One too late may be forgotten by then even if the clock goes back.
                let in_time = made.reservation.settle_by.unwrap() > now;
                prop_assert!(in_time || settled.is_err(), "settled too late, at {}", now);
                if settled.is_ok() && !std::mem::replace(&mut made.is_settled, true) {
                    made.counts = actual;
                }
            }
        }
        let now = clock.now();
        for principal in 0..3 {
            let usage = store.usage(&who(principal)).await.unwrap();
            for limit in Model::applying(principal) {
                let (_, period, most) = LIMITS[limit];
                let mine = |usage: &&QuotaUsage| {
                    usage.window.period == period && (usage.subject == QuotaSubject::Tenant) == (limit < 2)
                };
                let shown = usage.iter().find(mine).unwrap();
                prop_assert_eq!(
                    shown.used,
                    model.used(limit, principal, now),
                    "{:?} of {}",
                    shown,
                    principal
                );
                prop_assert_eq!(
                    (shown.limit, shown.window.start),
                    (most, model.start(limit, principal, now))
                );
            }
        }
    }
    Ok(())
}

proptest! {
    /// Any sequence of reservations, settlements and jumps of the clock counts as the model does.
    #[test]
    fn counts_as_a_list_of_all_reservations_does(steps in prop::collection::vec(step(), 1..120)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(as_the_model_does(steps))?;
    }
}

#[tokio::test]
async fn a_tenant_with_a_thousand_quotas_gets_no_more() {
    let store = MemoryQuotaStore::default();
    let operator = PlatformScope::new(PrincipalId::parse("operator").unwrap(), "a test");
    let acme = TenantId::parse("acme").unwrap();
    let limit = |n: usize| QuotaLimit {
        subject: QuotaSubject::Tenant,
        meter: Meter::parse(format!("m{n}")).unwrap(),
        period: Period::Day,
        amount: 1,
    };
    for n in 0..1000 {
        store.set(&operator, &acme, limit(n)).await.unwrap();
    }
    let error = store.set(&operator, &acme, limit(1000)).await.unwrap_err();
    assert_eq!(error.kind(), mcp_core::ErrorKind::Conflict);
    store.set(&operator, &acme, QuotaLimit { amount: 2, ..limit(7) }).await.unwrap();
    store.remove(&operator, &acme, &limit(7)).await.unwrap();
    store.set(&operator, &acme, limit(1000)).await.unwrap();
}

#[tokio::test]
async fn what_can_no_longer_be_settled_is_forgotten() {
    let clock = ManualClock::new(QUOTA_NOON);
    let store = MemoryQuotaStore::new(QuotaConfig::default(), Arc::new(clock.clone()));
    let operator = PlatformScope::new(PrincipalId::parse("operator").unwrap(), "a test");
    let (acme, meter) = (TenantId::parse("acme").unwrap(), Meter::parse("m").unwrap());
    let subject = QuotaSubject::EachPrincipal;
    let limit = QuotaLimit { subject, meter: meter.clone(), period: Period::Day, amount: 1 };
    store.set(&operator, &acme, limit).await.unwrap();
    for n in 0..100 {
        store.reserve(&who(n), &meter, 1).await.unwrap();
    }
    assert_eq!(store.remembered(&acme), (100, 100));
    clock.advance(Duration::from_secs(3600));
    store.reserve(&who(100), &meter, 1).await.unwrap();
    assert_eq!(store.remembered(&acme), (101, 1));
    clock.advance(Duration::from_secs(93 * 86_400));
    store.reserve(&who(100), &meter, 1).await.unwrap();
    assert_eq!(store.remembered(&acme), (1, 1));
}
