//! The promises of [`Quota`](mcp_core::limit::Quota) and [`QuotaStore`].

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use mcp_core::{
    Error, ErrorKind, Scope,
    clock::{Clock as _, ManualClock, Timestamp},
    error::{Detail, Retry},
    limit::{MAX_AMOUNT, Meter, Period},
    scope::{Permissions, Principal, PrincipalId, PrincipalKind},
};

use super::{Check, Failure, Outcome, ensure, ensure_eq, ensure_error, scope, tenant_id};
use crate::quota::{QuotaConfig, QuotaLimit, QuotaStore, QuotaSubject};

/// The tenants that exist in every harness.
pub const QUOTA_TENANTS: [&str; 2] = ["acme", "beta"];
/// What every harness's clock shows at first: 2027-01-31T12:00:00Z.
pub const QUOTA_NOON: Timestamp = Timestamp::from_micros(1_801_396_800_000_000);

const DAY: Duration = Duration::from_secs(86_400);

/// A store with the default configuration, and the clock it goes by.
#[derive(Debug)]
pub struct QuotaHarness {
    /// The store, empty.
    pub store: Arc<dyn QuotaStore>,
    /// Its clock, at [`QUOTA_NOON`].
    pub clock: ManualClock,
}

type Harness = Arc<QuotaHarness>;

/// The suite of [`QuotaStore`].
pub const QUOTA_STORE: &[Check<QuotaHarness>] = &[
    ("never_over", |harness| Box::pin(never_over(harness))),
    ("all_or_nothing", |harness| Box::pin(all_or_nothing(harness))),
    ("the_rest_goes_back", |harness| Box::pin(the_rest_goes_back(harness))),
    ("the_first_settlement_counts", |harness| Box::pin(the_first_settlement_counts(harness))),
    ("settled_once_however_many_try", |harness| Box::pin(settled_once_however_many_try(harness))),
    ("counted_if_in_doubt", |harness| Box::pin(counted_if_in_doubt(harness))),
    ("periods_begin_anew", |harness| Box::pin(periods_begin_anew(harness))),
    ("time_goes_forward", |harness| Box::pin(time_goes_forward(harness))),
    ("tenants_are_kept_apart", |harness| Box::pin(tenants_are_kept_apart(harness))),
    ("principals_have_their_own", |harness| Box::pin(principals_have_their_own(harness))),
    ("a_refusal_says_when_it_resets", |harness| Box::pin(a_refusal_says_when_it_resets(harness))),
    ("one_quota_each", |harness| Box::pin(one_quota_each(harness))),
    ("counted_from_when_it_is_set", |harness| Box::pin(counted_from_when_it_is_set(harness))),
    ("a_reset_begins_anew", |harness| Box::pin(a_reset_begins_anew(harness))),
];

fn who(tenant: &str, principal: &str) -> Result<Scope, Error> {
    let principal = Principal {
        id: PrincipalId::parse(principal)?,
        kind: PrincipalKind::User,
        permissions: Permissions::default(),
    };
    Ok(Scope::new(tenant_id(tenant)?, Arc::new(principal)))
}

fn tokens() -> Result<Meter, Error> {
    Meter::parse("chat.tokens")
}

fn quota(subject: &str, period: Period, amount: u64) -> Result<QuotaLimit, Error> {
    Ok(QuotaLimit { subject: QuotaSubject::parse(subject)?, meter: tokens()?, period, amount })
}

impl QuotaHarness {
    async fn set(&self, tenant: &str, subject: &str, period: Period, amount: u64) -> Outcome {
        self.store.set(&scope()?, &tenant_id(tenant)?, quota(subject, period, amount)?).await?;
        Ok(())
    }

    /// What the scope used, by subject and period.
    async fn used(&self, who: &Scope) -> Result<Vec<(String, Period, u64)>, Failure> {
        let usage = self.store.usage(who).await?;
        Ok(usage
            .into_iter()
            .map(|usage| (usage.subject.to_string(), usage.window.period, usage.used))
            .collect())
    }

    /// What the tenant used of its one quota.
    async fn used_alone(&self, who: &Scope) -> Result<u64, Failure> {
        match &self.used(who).await?[..] {
            [(_, _, used)] => Ok(*used),
            other => Err(format!("one quota should apply, there are {other:?}").into()),
        }
    }
}

fn at(text: &str) -> Result<Timestamp, Failure> {
    serde_json::from_value(text.into()).map_err(|error| format!("{text}: {error}").into())
}

async fn never_over(harness: Harness) -> Outcome {
    harness.set("acme", "tenant", Period::Day, 32).await?;
    let (u1, meter) = (who("acme", "u1")?, tokens()?);
    let asked = join_all((0..64).map(|_| harness.store.reserve(&u1, &meter, 3))).await;
    let (passed, refused): (Vec<_>, Vec<_>) = asked.into_iter().partition(Result::is_ok);
    ensure_eq(passed.len(), 10, "how many of 64 at once got 3 of 32")?;
    for refusal in refused {
        ensure_error(refusal, ErrorKind::RateLimited, "a reservation above the quota")?;
    }
    ensure_eq(harness.used_alone(&u1).await?, 30, "used after 10 reservations of 3")?;
    harness.store.reserve(&u1, &meter, 2).await?;
    let refused = harness.store.reserve(&u1, &meter, 1).await;
    ensure_error(refused, ErrorKind::RateLimited, "a reservation of 1 where nothing is left")?;
    harness.store.reserve(&u1, &meter, 0).await?;
    for too_much in [MAX_AMOUNT + 1, u64::MAX] {
        let refused = harness.store.reserve(&u1, &meter, too_much).await;
        ensure_error(refused, ErrorKind::InvalidInput, "more than any amount")?;
    }
    Ok(())
}

async fn all_or_nothing(harness: Harness) -> Outcome {
    harness.set("acme", "tenant", Period::Day, 50).await?;
    harness.set("acme", "tenant", Period::Month, 100).await?;
    harness.set("acme", "each_principal", Period::Day, 10).await?;
    let (u1, meter) = (who("acme", "u1")?, tokens()?);
    harness.store.reserve(&u1, &meter, 4).await?;
    for _ in 0..5 {
        let refused = harness.store.reserve(&u1, &meter, 7).await;
        ensure_error(refused, ErrorKind::RateLimited, "more than the principal has left")?;
    }
    let expected =
        [("principal/u1", Period::Day, 4), ("tenant", Period::Day, 4), ("tenant", Period::Month, 4)];
    let expected = expected.map(|(subject, period, used)| (subject.to_owned(), period, used));
    ensure_eq(harness.used(&u1).await?, expected.to_vec(), "used after one success and five refusals")
}

async fn the_rest_goes_back(harness: Harness) -> Outcome {
    harness.set("acme", "tenant", Period::Day, 100).await?;
    let (u1, meter) = (who("acme", "u1")?, tokens()?);
    let worst = harness.store.reserve(&u1, &meter, 80).await?;
    ensure_eq((worst.amount, &worst.meter), (80, &meter), "what was reserved")?;
    harness.store.settle(&u1, &worst, 15).await?;
    ensure_eq(harness.used_alone(&u1).await?, 15, "used after settling 80 for 15")?;
    let released = harness.store.reserve(&u1, &meter, 85).await?;
    harness.store.release(&u1, &released).await?;
    ensure_eq(harness.used_alone(&u1).await?, 15, "used after a release")?;
    let too_low = harness.store.reserve(&u1, &meter, 80).await?;
    harness.store.settle(&u1, &too_low, 200).await?;
    ensure_eq(harness.used_alone(&u1).await?, 215, "used after settling 80 for 200")?;
    let refused = harness.store.reserve(&u1, &meter, 1).await;
    ensure_error(refused, ErrorKind::RateLimited, "a reservation where more was used than there was")?;
    let much = harness.store.settle(&u1, &too_low, MAX_AMOUNT + 1).await;
    ensure_error(much, ErrorKind::InvalidInput, "settling for more than any amount").map(drop)
}

async fn the_first_settlement_counts(harness: Harness) -> Outcome {
    harness.set("acme", "tenant", Period::Day, 100).await?;
    let (u1, meter) = (who("acme", "u1")?, tokens()?);
    let worst = harness.store.reserve(&u1, &meter, 50).await?;
    for actual in [20, 20, 0, 50, 99] {
        harness.store.settle(&u1, &worst, actual).await?;
        ensure_eq(harness.used_alone(&u1).await?, 20, &format!("used after settling again for {actual}"))?;
    }
    harness.store.release(&u1, &worst).await?;
    ensure_eq(harness.used_alone(&u1).await?, 20, "used after a release of what was settled")
}

async fn settled_once_however_many_try(harness: Harness) -> Outcome {
    harness.set("acme", "tenant", Period::Day, 100).await?;
    let (u1, meter) = (who("acme", "u1")?, tokens()?);
    let kept = harness.store.reserve(&u1, &meter, 40).await?;
    let worst = harness.store.reserve(&u1, &meter, 50).await?;
    for settled in join_all((0..16).map(|_| harness.store.settle(&u1, &worst, 7))).await {
        settled?;
    }
    ensure_eq(harness.used_alone(&u1).await?, kept.amount + 7, "used after 16 settlements at once")
}

async fn counted_if_in_doubt(harness: Harness) -> Outcome {
    harness.set("acme", "tenant", Period::Month, 100).await?;
    let (u1, meter) = (who("acme", "u1")?, tokens()?);
    let lost = harness.store.reserve(&u1, &meter, 60).await?;
    let within = QuotaConfig::default().settle_within;
    ensure_eq(lost.settle_by, Some(QUOTA_NOON.after(within)), "until when it can be settled")?;
    harness.clock.advance(within);
    let late = harness.store.settle(&u1, &lost, 1).await;
    ensure_error(late, ErrorKind::NotFound, "settling too late")?;
    ensure_eq(harness.used_alone(&u1).await?, 60, "used by a reservation nobody settled")?;
    harness.store.reserve(&u1, &meter, 40).await?;
    let refused = harness.store.reserve(&u1, &meter, 1).await;
    ensure_error(refused, ErrorKind::RateLimited, "a reservation beside one nobody settled").map(drop)
}

async fn periods_begin_anew(harness: Harness) -> Outcome {
    harness.set("acme", "tenant", Period::Day, 10).await?;
    harness.set("acme", "tenant", Period::Month, 30).await?;
    let (u1, meter) = (who("acme", "u1")?, tokens()?);
    harness.clock.set(at("2027-02-10T23:45:00Z")?);
    let evening = harness.store.reserve(&u1, &meter, 10).await?;
    harness.clock.set(at("2027-02-10T23:59:59.999999Z")?);
    let refused = harness.store.reserve(&u1, &meter, 1).await;
    ensure_error(refused, ErrorKind::RateLimited, "a moment before midnight")?;
    harness.clock.set(at("2027-02-11T00:00:00Z")?);
    harness.store.reserve(&u1, &meter, 9).await?;
    // What was reserved yesterday is settled in yesterday.
    harness.store.settle(&u1, &evening, 4).await?;
    let used: Vec<_> = harness.used(&u1).await?.into_iter().map(|(_, period, used)| (period, used)).collect();
    ensure_eq(used, vec![(Period::Day, 9), (Period::Month, 13)], "used after a night")?;
    harness.clock.set(at("2027-03-01T00:00:00Z")?);
    let used: Vec<_> = harness.used(&u1).await?.into_iter().map(|(.., used)| used).collect();
    ensure_eq(used, vec![0, 0], "used of a new month")?;
    harness.store.reserve(&u1, &meter, 10).await.map(drop).map_err(Into::into)
}

async fn time_goes_forward(harness: Harness) -> Outcome {
    harness.set("acme", "tenant", Period::Day, 10).await?;
    let (u1, meter) = (who("acme", "u1")?, tokens()?);
    harness.clock.set(at("2027-02-01T00:30:00Z")?);
    let worst = harness.store.reserve(&u1, &meter, 10).await?;
    for back in
        ["2027-02-01T00:00:00Z", "2027-01-31T23:59:59Z", "2027-01-30T00:00:00Z", "2026-12-31T00:00:00Z"]
    {
        harness.clock.set(at(back)?);
        let refused = harness.store.reserve(&u1, &meter, 1).await;
        let error = ensure_error(refused, ErrorKind::RateLimited, &format!("after a jump back to {back}"))?;
        let resets = error.details().iter().any(|detail| {
            matches!(detail, Detail::Quota { resets_at, .. } if resets_at.to_string() == "2027-02-02T00:00:00Z")
        });
        ensure(resets, format!("after a jump back to {back}, the refusal says another end: {error:?}"))?;
    }
    harness.store.settle(&u1, &worst, 7).await?;
    ensure_eq(harness.used_alone(&u1).await?, 7, "used, settled after a jump back")?;
    harness.clock.set(at("2027-02-02T00:00:00Z")?);
    harness.store.reserve(&u1, &meter, 10).await.map(drop).map_err(Into::into)
}

async fn tenants_are_kept_apart(harness: Harness) -> Outcome {
    let meter = tokens()?;
    for tenant in QUOTA_TENANTS {
        harness.set(tenant, "tenant", Period::Day, 10).await?;
    }
    let (acme, beta) = (who("acme", "u1")?, who("beta", "u1")?);
    let reserved = harness.store.reserve(&acme, &meter, 10).await?;
    ensure_eq(harness.used_alone(&beta).await?, 0, "what the other tenant used")?;
    for foreign in
        [harness.store.settle(&beta, &reserved, 0).await, harness.store.release(&beta, &reserved).await]
    {
        ensure_error(foreign, ErrorKind::NotFound, "settling another tenant's reservation")?;
    }
    ensure_eq(harness.used_alone(&acme).await?, 10, "used after another tenant tried to settle")?;
    harness.store.reserve(&beta, &meter, 10).await?;
    harness.store.remove(&scope()?, &tenant_id("acme")?, &quota("tenant", Period::Day, 0)?).await?;
    let limits = harness.store.limits(&scope()?, &tenant_id("beta")?).await?;
    ensure_eq(limits, vec![quota("tenant", Period::Day, 10)?], "the other tenant's quotas")?;
    harness.store.reset(&scope()?, &tenant_id("acme")?).await?;
    ensure_eq(harness.used_alone(&beta).await?, 10, "used by the other tenant after a reset")
}

async fn principals_have_their_own(harness: Harness) -> Outcome {
    harness.set("acme", "each_principal", Period::Day, 10).await?;
    harness.set("acme", "principal/vip", Period::Day, 20).await?;
    let meter = tokens()?;
    for (name, most) in [("u1", 10), ("u2", 10), ("vip", 20), ("*", 10), ("tenant", 10)] {
        let who = who("acme", name)?;
        harness.store.reserve(&who, &meter, most).await?;
        let refused = harness.store.reserve(&who, &meter, 1).await;
        ensure_error(refused, ErrorKind::RateLimited, &format!("more than {name} has"))?;
        let expected = vec![(format!("principal/{name}"), Period::Day, most)];
        ensure_eq(harness.used(&who).await?, expected, &format!("what {name} sees"))?;
    }
    Ok(())
}

async fn a_refusal_says_when_it_resets(harness: Harness) -> Outcome {
    harness.set("acme", "tenant", Period::Day, 10).await?;
    harness.set("acme", "tenant", Period::Month, 12).await?;
    let (u1, meter) = (who("acme", "u1")?, tokens()?);
    harness.clock.set(at("2027-02-10T12:00:00Z")?);
    harness.store.reserve(&u1, &meter, 8).await?;
    for (amount, period, limit, remaining, resets, retry) in [
        (3, "day", 10, 2, "2027-02-11T00:00:00Z", Retry::Maybe),
        (5, "month", 12, 4, "2027-03-01T00:00:00Z", Retry::Maybe),
        (11, "day", 10, 2, "2027-02-11T00:00:00Z", Retry::Never),
    ] {
        let refused = harness.store.reserve(&u1, &meter, amount).await;
        let error = ensure_error(refused, ErrorKind::RateLimited, &format!("{amount} too many"))?;
        let resets_at = at(resets)?;
        let expected = Detail::Quota { meter: meter.to_string(), period, limit, remaining, resets_at };
        ensure(error.details().contains(&expected), format!("{amount}: {error:?} lacks {expected:?}"))?;
        ensure_eq(error.retry(), retry, &format!("whether {amount} may be tried again"))?;
        let wait = (retry == Retry::Maybe).then(|| resets_at.since(harness.clock.now()));
        ensure_eq(error.retry_after(), wait, &format!("how long {amount} is to wait"))?;
    }
    Ok(())
}

async fn one_quota_each(harness: Harness) -> Outcome {
    let (acme, operator) = (tenant_id("acme")?, scope()?);
    harness.set("acme", "tenant", Period::Day, 10).await?;
    harness.set("acme", "tenant", Period::Day, 10).await?;
    let (u1, meter) = (who("acme", "u1")?, tokens()?);
    harness.store.reserve(&u1, &meter, 9).await?;
    harness.set("acme", "tenant", Period::Day, 20).await?;
    harness.set("acme", "tenant", Period::Month, 5).await?;
    harness.set("acme", "principal/u1", Period::Day, 7).await?;
    harness.set("acme", "each_principal", Period::Day, 8).await?;
    let expected = [
        quota("each_principal", Period::Day, 8)?,
        quota("principal/u1", Period::Day, 7)?,
        quota("tenant", Period::Day, 20)?,
        quota("tenant", Period::Month, 5)?,
    ];
    ensure_eq(harness.store.limits(&operator, &acme).await?, expected.to_vec(), "the quotas in order")?;
    for limit in expected.iter().filter(|limit| limit.amount != 20) {
        harness.store.remove(&operator, &acme, limit).await?;
        harness.store.remove(&operator, &acme, limit).await?;
    }
    ensure_eq(harness.used_alone(&u1).await?, 9, "used of a quota that was raised")?;
    harness.store.reserve(&u1, &meter, 11).await?;
    let large = harness.store.set(&operator, &acme, quota("tenant", Period::Day, MAX_AMOUNT + 1)?).await;
    ensure_error(large, ErrorKind::InvalidInput, "a quota above any amount").map(drop)
}

async fn counted_from_when_it_is_set(harness: Harness) -> Outcome {
    let (u1, meter) = (who("acme", "u1")?, tokens()?);
    let free = harness.store.reserve(&u1, &meter, 1_000).await?;
    ensure_eq(free.settle_by, None, "until when what is not counted can be settled")?;
    harness.set("acme", "tenant", Period::Day, 10).await?;
    harness.store.settle(&u1, &free, 500).await?;
    ensure_eq(harness.used_alone(&u1).await?, 0, "used before there was a quota")?;
    let other = Meter::parse("tool.calls")?;
    harness.store.reserve(&u1, &other, 1_000).await?;
    ensure_eq(harness.used_alone(&u1).await?, 0, "used of another meter")
}

async fn a_reset_begins_anew(harness: Harness) -> Outcome {
    harness.set("acme", "tenant", Period::Day, 10).await?;
    let (u1, meter) = (who("acme", "u1")?, tokens()?);
    // The clock jumps ahead, and is set right.
    harness.clock.advance(400 * DAY);
    let open = harness.store.reserve(&u1, &meter, 10).await?;
    harness.clock.set(QUOTA_NOON);
    let refused = harness.store.reserve(&u1, &meter, 1).await;
    ensure_error(refused, ErrorKind::RateLimited, "in the period of a clock that was ahead")?;
    harness.store.reset(&scope()?, &tenant_id("acme")?).await?;
    harness.store.reserve(&u1, &meter, 9).await?;
    let late = harness.store.settle(&u1, &open, 0).await;
    ensure_error(late, ErrorKind::NotFound, "settling what was reserved before the reset")?;
    ensure_eq(harness.used_alone(&u1).await?, 9, "used after a reset")
}
