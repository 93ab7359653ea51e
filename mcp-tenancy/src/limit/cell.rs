//! The arithmetic of GCRA, the generic cell rate algorithm, on whole nanoseconds.
//!
//! A cell is one number: the time at which the whole burst may be made again (the *theoretical arrival
//! time*). A call moves it on by its cost times the interval between two calls, and is refused if that would
//! take it further ahead of now than the burst is long. No counter, no window, nothing to reset.

use std::time::Duration;

use mcp_core::limit::{Decision, Limit};

/// Nanoseconds since the limiter was made; 584 years fit.
pub(super) type Nanos = u64;

/// A limit as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate {
    /// Time between two calls at the steady rate; rounded up, so that rounding never lets more through.
    interval: u64,
    burst: u64,
}

impl Rate {
    pub(super) fn of(limit: &Limit) -> Self {
        let per = u64::try_from(limit.per.as_nanos()).unwrap_or(u64::MAX);
        Self { interval: per.div_ceil(u64::from(limit.count.get())).max(1), burst: limit.burst.get().into() }
    }

    /// The limit with its interval rounded up to whole microseconds, for a store that counts in these.
    #[cfg(feature = "redis")]
    pub(super) fn in_micros(limit: &Limit) -> Self {
        let Self { interval, burst } = Self::of(limit);
        Self { interval: interval.div_ceil(1000).saturating_mul(1000), burst }
    }

    /// Microseconds between two calls, and the burst.
    #[cfg(feature = "redis")]
    pub(super) const fn micros_and_burst(self) -> (u64, u64) {
        (self.interval / 1000, self.burst)
    }

    /// What a call of `cost` at `now` gets of a cell at `full_at`, and where the cell would then stand.
    pub(super) fn decide(self, full_at: Nanos, now: Nanos, cost: u32) -> (Decision, Nanos) {
        let span = self.interval.saturating_mul(self.burst);
        let full_at = full_at.max(now);
        let next = full_at.saturating_add(self.interval.saturating_mul(cost.into()));
        let over = (next - now).saturating_sub(span);
        let allowed = over == 0 && u64::from(cost) <= self.burst;
        let stands = if allowed { next } else { full_at };
        let decision = Decision {
            allowed,
            index: 0,
            limit: self.burst,
            remaining: span.saturating_sub(stands - now) / self.interval,
            reset: Duration::from_nanos(stands - now),
            retry_after: match allowed {
                true => Duration::ZERO,
                false if u64::from(cost) > self.burst => Duration::MAX,
                false => Duration::from_nanos(over),
            },
        };
        (decision, stands)
    }
}

/// The decision that speaks for all, which are in the order of the limits asked about.
pub(super) fn strictest(decisions: impl Iterator<Item = Decision>) -> Option<Decision> {
    decisions.enumerate().map(|(index, decision)| Decision { index, ..decision }).reduce(|a, b| {
        match a.retry_after.cmp(&b.retry_after).then(b.remaining.cmp(&a.remaining)) {
            std::cmp::Ordering::Less => b,
            _ => a,
        }
    })
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::*;

    fn limit(count: u32, per: Duration, burst: u32) -> Limit {
        let positive = |n| NonZeroU32::new(n).unwrap();
        Limit { key: "k".into(), count: positive(count), per, burst: positive(burst) }
    }

    #[test]
    fn a_burst_and_then_one_at_each_interval() {
        let rate = Rate::of(&limit(60, Duration::from_secs(60), 3));
        let (mut cell, second) = (0, 1_000_000_000);
        for remaining in [2, 1, 0] {
            let (decision, next) = rate.decide(cell, 5 * second, 1);
            assert_eq!((decision.allowed, decision.remaining, decision.limit), (true, remaining, 3));
            cell = next;
        }
        let (refused, same) = rate.decide(cell, 5 * second, 1);
        assert!(!refused.allowed && same == cell);
        assert_eq!((refused.retry_after, refused.reset), (Duration::from_secs(1), Duration::from_secs(3)));
        assert!(!rate.decide(cell, 6 * second - 1, 1).0.allowed, "early by a nanosecond");
        assert!(rate.decide(cell, 6 * second, 1).0.allowed, "waited as told");
    }

    #[test]
    fn what_costs_more_than_the_burst_never_passes() {
        let rate = Rate::of(&limit(60, Duration::from_secs(60), 3));
        let (decision, _) = rate.decide(0, u64::MAX / 2, 4);
        assert!(!decision.allowed && decision.retry_after == Duration::MAX);
    }

    #[test]
    fn extremes_do_not_overflow() {
        for (count, per, burst) in
            [(u32::MAX, Duration::from_nanos(1), u32::MAX), (1, Duration::MAX, u32::MAX)]
        {
            let rate = Rate::of(&limit(count, per, burst));
            for now in [0, 1, u64::MAX] {
                for full_at in [0, now, u64::MAX] {
                    let _ = rate.decide(full_at, now, u32::MAX);
                }
            }
        }
    }

    /// The naive model: tokens that drip into a bucket, counted in exact fractions (numerators over
    /// `per` nanoseconds).
    struct Bucket {
        tokens: u128,
        at: u64,
        count: u128,
        per: u128,
        burst: u128,
    }

    impl Bucket {
        fn take(&mut self, now: u64, cost: u32) -> bool {
            let dripped = u128::from(now - self.at) * self.count;
            self.tokens = (self.tokens + dripped).min(self.burst * self.per);
            self.at = now;
            let price = u128::from(cost) * self.per;
            let enough = self.tokens >= price;
            self.tokens -= if enough { price } else { 0 };
            enough
        }
    }

    proptest! {
        /// With a rate that divides evenly the cell and the bucket decide alike, call by call.
        #[test]
        fn decides_as_a_token_bucket_does(
            interval in 1_u64..5_000,
            count in 1_u32..100,
            burst in 1_u32..50,
            calls in prop::collection::vec((0_u64..20_000, 1_u32..6), 1..200),
        ) {
            let per = interval * u64::from(count);
            let rate = Rate::of(&limit(count, Duration::from_nanos(per), burst));
            let full = u128::from(burst) * u128::from(per);
            let mut bucket =
                Bucket { tokens: full, at: 0, count: count.into(), per: per.into(), burst: burst.into() };
            let (mut now, mut cell) = (0, 0);
            for (gap, cost) in calls {
                now += gap;
                let (decision, next) = rate.decide(cell, now, cost);
                prop_assert_eq!(decision.allowed, bucket.take(now, cost), "at {} cost {}", now, cost);
                prop_assert_eq!(u128::from(decision.remaining), bucket.tokens / bucket.per);
                cell = next;
            }
        }

        /// With any rate, no span of time lets more through than its burst and its share of the count.
        #[test]
        fn never_lets_more_through_than_promised(
            per in 1_u64..1_000_000,
            count in 1_u32..1000,
            burst in 1_u32..50,
            gaps in prop::collection::vec(0_u64..5_000, 1..300),
        ) {
            let rate = Rate::of(&limit(count, Duration::from_nanos(per), burst));
            let (mut now, mut cell, mut passed) = (0_u64, 0, Vec::new());
            for gap in gaps {
                now += gap;
                let (decision, next) = rate.decide(cell, now, 1);
                cell = next;
                if decision.allowed {
                    passed.push(now);
                }
            }
            for (first, start) in passed.iter().enumerate() {
                for (last, end) in passed.iter().enumerate().skip(first) {
                    let share = u128::from(count) * u128::from(end - start) / u128::from(per);
                    prop_assert!((last - first + 1) as u128 <= u128::from(burst) + share + 1);
                }
            }
        }

        /// Who waits as long as it was told is let through.
        #[test]
        fn retry_after_is_neither_early_nor_never(
            per in 1_u64..1_000_000, count in 1_u32..1000, burst in 1_u32..50, cost in 1_u32..60, at in 0_u64..9_999,
        ) {
            let rate = Rate::of(&limit(count, Duration::from_nanos(per), burst));
            let mut cell = 0;
            while let (Decision { allowed: true, .. }, next) = rate.decide(cell, at, cost) {
                cell = next;
            }
            let (refused, _) = rate.decide(cell, at, cost);
            if cost <= burst {
                let wait = u64::try_from(refused.retry_after.as_nanos()).unwrap();
                prop_assert!(rate.decide(cell, at + wait, cost).0.allowed);
                prop_assert!(wait == 0 || !rate.decide(cell, at + wait - 1, cost).0.allowed);
            } else {
                prop_assert_eq!(refused.retry_after, Duration::MAX);
            }
        }
    }
}
