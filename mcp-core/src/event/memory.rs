//! The bus in memory: between the parts of one process. What waits here is lost with the process, so it is fed
//! from an outbox.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::{sync::Notify, time::Instant};

use super::{DeadLetter, Delivery, Event, EventBus, Subscription};
use crate::{
    audit::Chain,
    error::{Detail, Error, ErrorKind, Result},
    scope::PlatformScope,
};

/// Settings of the bus. The default is fit for consumers that take milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct BusConfig {
    /// Events that wait or are on their way in one group. Default 10,000.
    pub capacity: usize,
    /// Time until a delivery that is not acknowledged is repeated. Default 30 s.
    pub ack_wait: Duration,
    /// Deliveries after which an event becomes a dead letter. Default 5.
    pub max_attempts: u32,
    /// Dead letters kept per group; the oldest goes first. Default 1,000.
    pub dead_letters: usize,
}

impl Default for BusConfig {
    fn default() -> Self {
        Self { capacity: 10_000, ack_wait: Duration::from_secs(30), max_attempts: 5, dead_letters: 1_000 }
    }
}

/// An [`EventBus`] in memory. Clones are one bus.
#[derive(Debug, Clone, Default)]
pub struct MemoryEventBus(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    config: BusConfig,
    groups: Mutex<HashMap<String, Arc<Group>>>,
}

#[derive(Debug, Default)]
struct Group {
    state: Mutex<State>,
    /// Something may be there to take.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Entry>,
    flying: HashMap<u64, Flight>,
    /// What has a delivery under way: the next event of the same must wait.
    busy: HashSet<Key>,
    dead: VecDeque<DeadLetter>,
    tokens: u64,
    ended: bool,
}

/// What is delivered in order: a chain's events of one subject, or those without any.
type Key = (Chain, Option<String>);

#[derive(Debug)]
struct Entry {
    chain: Chain,
    event: Arc<Event>,
    attempts: u32,
}

#[derive(Debug)]
struct Flight {
    entry: Entry,
    until: Instant,
}

impl Entry {
    fn key(&self) -> Key {
        (self.chain.clone(), self.event.subject().map(str::to_owned))
    }
}

impl MemoryEventBus {
    /// A bus without groups.
    #[must_use]
    pub fn new(config: BusConfig) -> Self {
        Self(Arc::new(Inner { config, groups: Mutex::default() }))
    }

    fn groups(&self) -> MutexGuard<'_, HashMap<String, Arc<Group>>> {
        self.0.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Group {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is made whole before the guard drops, so a panic elsewhere spoils nothing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self, config: &BusConfig) -> Option<Delivery> {
        self.land_late(config);
        let at = self.waiting.iter().position(|entry| !self.busy.contains(&entry.key()))?;
        let mut entry = self.waiting.remove(at)?;
        entry.attempts += 1;
        self.tokens += 1;
        let token = self.tokens;
        let (chain, event) = (entry.chain.clone(), (*entry.event).clone());
        let delivery = Delivery { chain, event, attempt: entry.attempts, token };
        self.busy.insert(entry.key());
        self.flying.insert(token, Flight { entry, until: Instant::now() + config.ack_wait });
        Some(delivery)
    }

    fn land_late(&mut self, config: &BusConfig) {
        let now = Instant::now();
        let late: Vec<u64> =
            self.flying.iter().filter(|(_, flight)| flight.until <= now).map(|(token, _)| *token).collect();
        for token in late {
            self.hand_back(token, config);
        }
    }

    /// To the front: what stands behind it of the same subject has not been delivered yet.
    fn hand_back(&mut self, token: u64, config: &BusConfig) {
        let Some(Flight { entry, .. }) = self.flying.remove(&token) else { return };
        self.busy.remove(&entry.key());
        if entry.attempts < config.max_attempts {
            self.waiting.push_front(entry);
            return;
        }
        if self.dead.len() >= config.dead_letters.max(1) {
            self.dead.pop_front();
        }
        let Entry { chain, event, attempts } = entry;
        metrics::counter!("mcp_events_dead_total").increment(1);
        self.dead.push_back(DeadLetter { chain, event: (*event).clone(), attempts });
    }
}

#[async_trait]
impl EventBus for MemoryEventBus {
    async fn publish(&self, _: &PlatformScope, chain: &Chain, events: &[Event]) -> Result<()> {
        // Held to the end, so that two batches do not interleave differently in two groups.
        let groups = self.groups();
        let mut states: Vec<_> = groups.values().map(|group| (group, group.lock())).collect();
        let has_room =
            |state: &State| state.waiting.len() + state.flying.len() + events.len() <= self.0.config.capacity;
        if !states.iter().all(|(_, state)| has_room(state)) {
            let message = "a group of consumers has no room for further events; try again";
            return Err(Error::unavailable("event.publish", message));
        }
        let events: Vec<_> = events.iter().cloned().map(Arc::new).collect();
        for (group, state) in &mut states {
            let entry =
                |event: &Arc<Event>| Entry { chain: chain.clone(), event: event.clone(), attempts: 0 };
            state.waiting.extend(events.iter().map(entry));
            group.changed.notify_waiters();
        }
        Ok(())
    }

    async fn subscribe(&self, _: &PlatformScope, group: &str) -> Result<Box<dyn Subscription>> {
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
        if group.is_empty() || group.len() > 64 || !group.bytes().all(fits) {
            let message = "the name of a group must be 1 to 64 characters of a-z, 0-9, '.', '_' and '-'";
            let field = Detail::Field { path: "group".into(), nearest: None };
            return Err(Error::invalid_input("event.subscribe", message).with_detail(field));
        }
        let group = self.groups().entry(group.to_owned()).or_default().clone();
        Ok(Box::new(MemorySubscription { group, config: self.0.config, mine: HashSet::new() }))
    }

    async fn end(&self, _: &PlatformScope, group: &str) -> Result<()> {
        if let Some(group) = self.groups().remove(group) {
            *group.lock() = State { ended: true, ..State::default() };
            group.changed.notify_waiters();
        }
        Ok(())
    }

    async fn dead_letters(&self, _: &PlatformScope, group: &str) -> Result<Vec<DeadLetter>> {
        let group = self.groups().get(group).cloned();
        Ok(group.map(|group| group.lock().dead.iter().cloned().collect()).unwrap_or_default())
    }
}

#[derive(Debug)]
struct MemorySubscription {
    group: Arc<Group>,
    config: BusConfig,
    /// Deliveries not acknowledged.
    mine: HashSet<u64>,
}

#[async_trait]
impl Subscription for MemorySubscription {
    async fn next(&mut self) -> Result<Delivery> {
        loop {
            let changed = self.group.changed.notified();
            let mut changed = std::pin::pin!(changed);
            // Before looking, so that what comes between looking and waiting wakes too.
            changed.as_mut().enable();
            let first_late = {
                let mut state = self.group.lock();
                if state.ended {
                    return Err(Error::new(ErrorKind::Cancelled, "event.next", "the group has been ended"));
                }
                if let Some(delivery) = state.take(&self.config) {
                    self.mine.insert(delivery.token);
                    return Ok(delivery);
                }
                state.flying.values().map(|flight| flight.until).min()
            };
            match first_late {
                Some(late) => {
                    tokio::select! { () = changed => {}, () = tokio::time::sleep_until(late) => {} }
                }
                None => changed.await,
            }
        }
    }

    async fn ack(&mut self, token: u64) -> Result<bool> {
        self.mine.remove(&token);
        let mut state = self.group.lock();
        let flight = state.flying.remove(&token);
        if let Some(flight) = &flight {
            state.busy.remove(&flight.entry.key());
        }
        drop(state);
        self.group.changed.notify_waiters();
        Ok(flight.is_some())
    }

    async fn retry(&mut self, token: u64) -> Result<()> {
        self.mine.remove(&token);
        self.group.lock().hand_back(token, &self.config);
        self.group.changed.notify_waiters();
        Ok(())
    }
}

impl Drop for MemorySubscription {
    fn drop(&mut self) {
        let mut state = self.group.lock();
        // Latest first, as each goes to the front.
        let mut mine: Vec<_> = self.mine.drain().collect();
        mine.sort_unstable_by(|a, b| b.cmp(a));
        for token in mine {
            state.hand_back(token, &self.config);
        }
        drop(state);
        self.group.changed.notify_waiters();
    }
}
