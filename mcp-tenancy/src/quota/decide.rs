//! What a reservation and a settlement do to the counters: the same for every backend.

use std::{collections::BTreeMap, time::Duration};

use mcp_core::{
    Error, Result,
    clock::Timestamp,
    limit::{MAX_AMOUNT, Meter, Period, Window, exceeded},
    scope::PrincipalId,
};
use serde::{Deserialize, Serialize};

use super::{QuotaLimit, QuotaSubject, QuotaUsage};

/// A counter is kept this long after the beginning of its period, so that a clock that jumps back by less
/// than two months finds it.
pub(super) const KEPT: Duration = Duration::from_secs(93 * 86_400);

/// What was used of a meter, with what is reserved, in the latest period it was counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counter {
    pub(super) starts_at: Timestamp,
    pub(super) used: u64,
}

/// One meter's counters of a tenant, by subject and period.
pub(super) type Counters = BTreeMap<(QuotaSubject, Period), Counter>;

/// A counter that a reservation was counted in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Charge {
    pub(super) subject: QuotaSubject,
    pub(super) period: Period,
    /// The beginning of the counter's period, in microseconds since the epoch.
    pub(super) starts_at: i64,
}

/// The quotas of a tenant that count what `principal` uses, of one meter or of all. Those of each principal
/// become its own.
pub(super) fn applying(
    limits: &[QuotaLimit],
    principal: &PrincipalId,
    meter: Option<&Meter>,
) -> Vec<QuotaLimit> {
    let own = QuotaSubject::Principal(principal.clone());
    let asked = limits.iter().filter(|limit| meter.is_none_or(|meter| limit.meter == *meter));
    let mine = |limit: &QuotaLimit| match &limit.subject {
        QuotaSubject::Tenant => Some(limit.clone()),
        QuotaSubject::Principal(_) => (limit.subject == own).then(|| limit.clone()),
        QuotaSubject::EachPrincipal => {
            let mine = QuotaLimit { subject: own.clone(), ..limit.clone() };
            (!limits.iter().any(|limit| limit.is_of(&mine))).then_some(mine)
        }
    };
    asked.filter_map(mine).collect()
}

/// What is counted now: a period that is over begins anew, and a clock that went back changes nothing.
fn current(limit: &QuotaLimit, stored: Option<Counter>, now: Timestamp) -> (Counter, Window) {
    let window = limit.period.window(now);
    match stored {
        Some(counter) if counter.starts_at >= window.start => {
            (counter, limit.period.window(counter.starts_at))
        }
        _ => (Counter { starts_at: window.start, used: 0 }, window),
    }
}

/// Counts `amount` in each of the quotas `applying`, or says which refuses for longest.
pub(super) fn reserve(
    applying: &[QuotaLimit],
    counters: &Counters,
    meter: &Meter,
    amount: u64,
    now: Timestamp,
) -> Result<Counters> {
    let mut changed = Counters::new();
    let mut refusal: Option<(Timestamp, Error)> = None;
    for limit in applying {
        let key = (limit.subject.clone(), limit.period);
        let (counter, window) = current(limit, counters.get(&key).copied(), now);
        let left = limit.amount.saturating_sub(counter.used);
        if amount > left {
            let until = if amount > limit.amount { Timestamp::from_micros(i64::MAX) } else { window.end };
            if refusal.as_ref().is_none_or(|(longest, _)| until > *longest) {
                refusal = Some((until, exceeded(meter, &window, (limit.amount, left), amount, now)));
            }
        }
        changed.insert(key, Counter { used: counted(counter.used, amount), ..counter });
    }
    match refusal {
        Some((_, error)) => Err(error),
        None => Ok(changed),
    }
}

/// The counters that a reservation was counted in.
pub(super) fn charges(changed: &Counters) -> Vec<Charge> {
    let charge = |((subject, period), counter): (&(QuotaSubject, Period), &Counter)| Charge {
        subject: subject.clone(),
        period: *period,
        starts_at: counter.starts_at.as_micros(),
    };
    changed.iter().map(charge).collect()
}

/// The counters that change when `reserved` turns out to be `actual`. Periods that are over do not.
pub(super) fn settle(charges: &[Charge], counters: &Counters, reserved: u64, actual: u64) -> Counters {
    let mut changed = Counters::new();
    for charge in charges {
        let key = (charge.subject.clone(), charge.period);
        let stored = counters.get(&key).filter(|counter| counter.starts_at.as_micros() == charge.starts_at);
        if let Some(counter) = stored {
            let used = counted(counter.used.saturating_sub(reserved), actual);
            changed.insert(key, Counter { used, ..*counter });
        }
    }
    changed
}

/// What was used of a quota.
pub(super) fn usage(limit: QuotaLimit, stored: Option<Counter>, now: Timestamp) -> QuotaUsage {
    let (counter, window) = current(&limit, stored, now);
    QuotaUsage { subject: limit.subject, meter: limit.meter, window, limit: limit.amount, used: counter.used }
}

/// Stays where every reader and database is exact; what is used up is used up.
fn counted(used: u64, more: u64) -> u64 {
    used.saturating_add(more).min(MAX_AMOUNT)
}
