//! What keeps a flood of denials small: a bounded queue, and one count for what exceeds a rate.

use std::{borrow::Cow, collections::HashMap, mem};

use serde_json::json;
use tokio::time::Instant;

use super::{AuditRecord, Chain, DenialConfig, Entry, Outcome};
use crate::clock::Timestamp;

/// Denials that wait to be written, and those that are only counted.
#[derive(Debug)]
pub(super) struct Waiting {
    limits: DenialConfig,
    queue: Vec<(Chain, Entry)>,
    windows: HashMap<Key, Span>,
    dropped: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    chain: Chain,
    actor: String,
    action: Cow<'static, str>,
}

/// A stretch of time in which denials of one key are counted. It ends when the writer next looks after
/// `ends`.
#[derive(Debug)]
struct Span {
    since: Timestamp,
    ends: Instant,
    seen: u64,
}

/// What became of a denial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It will be written.
    Queued,
    /// It will be part of a count.
    Counted,
    /// There was no room; that much will be said.
    Dropped,
}

impl Waiting {
    pub(super) fn new(limits: DenialConfig) -> Self {
        Self { limits, queue: Vec::new(), windows: HashMap::new(), dropped: 0 }
    }

    pub(super) fn take(&mut self, chain: Chain, record: AuditRecord, at: Timestamp, now: Instant) -> Taken {
        let key = Key { chain, actor: record.actor.clone(), action: record.action.clone() };
        if self.windows.len() >= self.limits.windows && !self.windows.contains_key(&key) {
            // Counts early rather than hold more: at worst more is written than the rate allows.
            self.end_windows(at, |_| true);
        }
        let ends = now + self.limits.window;
        let span = self.windows.entry(key.clone()).or_insert(Span { since: at, ends, seen: 0 });
        span.seen += 1;
        if span.seen > u64::from(self.limits.burst) {
            return Taken::Counted;
        }
        if self.queue.len() >= self.limits.queue {
            self.dropped += 1;
            return Taken::Dropped;
        }
        match Entry::new(record, at) {
            Ok(entry) => {
                self.queue.push((key.chain, entry));
                Taken::Queued
            }
            Err(error) => {
                tracing::warn!(error = error.report(), "a denial is too large to be recorded");
                self.dropped += 1;
                Taken::Dropped
            }
        }
    }

    /// When the first window ends in which something was counted that is not written yet.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.windows.values().map(|span| span.ends).min()
    }

    /// What is to be written now: what waits, the counts of the windows that have ended (at `last`, of all),
    /// and what was dropped.
    pub(super) fn drain(&mut self, at: Timestamp, now: Instant, last: bool) -> Vec<(Chain, Entry)> {
        self.end_windows(at, |span| last || span.ends <= now);
        let dropped = mem::take(&mut self.dropped);
        if dropped > 0 {
            self.note(
                Chain::Platform,
                "platform".into(),
                "audit.dropped".into(),
                at,
                json!({"count": dropped}),
            );
        }
        mem::take(&mut self.queue)
    }

    /// Counts entries that could not be written.
    pub(super) fn lose(&mut self, count: u64) {
        self.dropped += count;
    }

    fn end_windows(&mut self, at: Timestamp, ended: impl Fn(&Span) -> bool) {
        let burst = u64::from(self.limits.burst);
        let over: Vec<_> = self.windows.extract_if(|_, span| ended(span)).collect();
        for (key, span) in over {
            if let Some(count @ 1..) = span.seen.checked_sub(burst) {
                let detail = json!({ "count": count, "since": span.since, "until": at });
                self.note(key.chain, key.actor, key.action, at, detail);
            }
        }
    }

    /// Adds a record about several. There is always room: these are at most as many as windows, and one.
    fn note(
        &mut self,
        chain: Chain,
        actor: String,
        action: Cow<'static, str>,
        at: Timestamp,
        detail: serde_json::Value,
    ) {
        let (resource, request_id) = ("denials".to_owned(), String::new());
        let record = AuditRecord { actor, action, resource, outcome: Outcome::Denied, request_id, detail };
        match Entry::new(record, at) {
            Ok(entry) => self.queue.push((chain, entry)),
            Err(error) => tracing::warn!(error = error.report(), "a count of denials was not recorded"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const AT: Timestamp = Timestamp::from_micros(1);

    fn denial(actor: &str) -> AuditRecord {
        AuditRecord {
            actor: actor.into(),
            action: "auth.denied".into(),
            resource: "request".into(),
            outcome: Outcome::Denied,
            request_id: "r".into(),
            detail: json!(null),
        }
    }

    fn waiting(queue: usize, windows: usize) -> Waiting {
        Waiting::new(DenialConfig { queue, windows, burst: 2, ..DenialConfig::default() })
    }

    fn counts(entries: &[(Chain, Entry)]) -> Vec<u64> {
        let count = |entry: &Entry| {
            let detail: serde_json::Value = serde_json::from_str(entry.detail.as_deref()?).ok()?;
            detail["count"].as_u64()
        };
        entries.iter().filter_map(|(_, entry)| count(entry)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_exceeds_the_burst_is_one_count_at_the_end_of_the_window() {
        let (mut waiting, start) = (waiting(100, 100), Instant::now());
        let taken: Vec<_> = (0..5).map(|_| waiting.take(Chain::Platform, denial("a"), AT, start)).collect();
        assert_eq!(taken[1..3], [Taken::Queued, Taken::Counted]);
        assert_eq!(waiting.take(Chain::Platform, denial("b"), AT, start), Taken::Queued, "b is another");
        assert_eq!(waiting.drain(AT, start, false).len(), 3);
        let end = waiting.next_end().unwrap();
        assert_eq!(end, start + DenialConfig::default().window);
        let ended = waiting.drain(AT, end, false);
        assert_eq!(counts(&ended), [3]);
        assert_eq!(waiting.next_end(), None);
        assert_eq!(waiting.take(Chain::Platform, denial("a"), AT, end), Taken::Queued, "a new window");
    }

    #[tokio::test(start_paused = true)]
    async fn neither_queue_nor_windows_grow_without_bound() {
        let (mut waiting, now) = (waiting(3, 4), Instant::now());
        let mut queued = 0;
        for i in 0..1000 {
            let taken = waiting.take(Chain::Platform, denial(&format!("a{i}")), AT, now);
            queued += u64::from(taken == Taken::Queued);
            assert!(waiting.windows.len() <= 4);
        }
        let out = waiting.drain(AT, now + Duration::from_secs(3600), false);
        assert_eq!((queued, counts(&out)), (3, vec![997]));
    }
}
