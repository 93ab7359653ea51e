//! The indexes that are held in memory, and which of them has to go when they are too many.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicI64, Ordering},
    },
};

use mcp_core::{Result, scope::TenantId};
use tokio::sync::watch;

use super::{Space, exact::Vectors};
use crate::memory::MemoryId;

/// Whose space it is, and which. Without the tenant there is no way to one.
pub(super) type Key = (TenantId, Space);

/// What a space takes beside its vectors.
const OVERHEAD: usize = 1024;

/// The index of one space.
#[derive(Debug)]
pub(super) struct Held {
    /// The version it has or is leaving: what can be told without waiting for who changes it.
    known: AtomicI64,
    state: RwLock<State>,
}

/// An index and the version of the rows that it has.
#[derive(Debug)]
pub(super) struct State {
    /// `None` while it is being changed, and if that failed.
    pub(super) version: Option<i64>,
    pub(super) vectors: Box<dyn Vectors>,
}

impl State {
    /// Makes the changes between two versions, if they fit; after an error there is no version. Keeps the newest
    /// `room` vectors.
    pub(super) fn step(
        &mut self,
        (since, until): (Option<i64>, i64),
        removed: &[MemoryId],
        added: Vec<(MemoryId, Vec<f32>)>,
        room: usize,
    ) -> Result<()> {
        if since.is_some() && !self.version.is_some_and(|has| Some(has) >= since && has < until) {
            return Ok(());
        }
        self.version = None;
        for id in removed {
            self.vectors.remove(id)?;
        }
        for (id, vector) in added {
            self.vectors.add(id, vector)?;
        }
        while self.vectors.len() > room
            && let Some(oldest) = self.vectors.oldest()
        {
            self.vectors.remove(&oldest)?;
        }
        self.vectors.settle()?;
        self.version = Some(until);
        Ok(())
    }
}

impl Held {
    /// An index that has no version yet.
    pub(super) fn new(vectors: Box<dyn Vectors>) -> Arc<Self> {
        Arc::new(Self { known: AtomicI64::new(0), state: RwLock::new(State { version: None, vectors }) })
    }

    /// The version it has; a guess while it is being changed.
    pub(super) fn known(&self) -> i64 {
        self.known.load(Ordering::Acquire)
    }

    pub(super) fn set_known(&self, version: i64) {
        self.known.store(version, Ordering::Release);
    }

    /// A state that a panic left is one without a version, and so answers nobody.
    pub(super) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, if nobody reads or writes.
    pub(super) fn try_write(&self) -> Option<RwLockWriteGuard<'_, State>> {
        self.state.try_write().ok()
    }
}

/// The held spaces of all tenants. Those that were not used for longest go first.
#[derive(Debug)]
pub(super) struct Spaces {
    most_bytes: usize,
    most: usize,
    map: Mutex<Map>,
}

#[derive(Debug, Default)]
struct Map {
    entries: HashMap<Key, Entry>,
    bytes: usize,
    /// Counts uses.
    clock: u64,
    /// Tenants for which nothing is held, as they may not be used; asked while this map is locked, never after.
    closed: Option<watch::Receiver<HashSet<TenantId>>>,
}

#[derive(Debug)]
struct Entry {
    held: Arc<Held>,
    bytes: usize,
    used: u64,
}

impl Spaces {
    pub(super) fn new(most_bytes: usize, most: usize) -> Self {
        Self { most_bytes, most, map: Mutex::default() }
    }

    /// The index of a space, which counts as used now.
    pub(super) fn get(&self, key: &Key) -> Option<Arc<Held>> {
        let mut map = self.lock();
        map.clock += 1;
        let now = map.clock;
        let entry = map.entries.get_mut(key)?;
        entry.used = now;
        Some(Arc::clone(&entry.held))
    }

    /// Holds an index of that size, in the place of an earlier one; others go where there is no room for all. One
    /// of a tenant that was closed meanwhile is not held.
    pub(super) fn put(&self, key: Key, held: Arc<Held>, bytes: usize) {
        let mut map = self.lock();
        if map.closed.as_ref().is_some_and(|closed| closed.borrow().contains(&key.0)) {
            return;
        }
        let replaced = map.take(&key);
        map.clock += 1;
        let (used, bytes) = (map.clock, bytes + OVERHEAD);
        map.bytes += bytes;
        map.entries.insert(key, Entry { held, bytes, used });
        let gone = self.make_room(&mut map);
        drop(map);
        // Freeing a large one takes longer than others should wait for the lock.
        drop((replaced, gone));
    }

    /// Notes the size that an index has now, if it is still held.
    pub(super) fn weigh(&self, key: &Key, held: &Arc<Held>, bytes: usize) {
        let mut map = self.lock();
        let Some(entry) = map.entries.get_mut(key).filter(|entry| Arc::ptr_eq(&entry.held, held)) else {
            return;
        };
        let before = std::mem::replace(&mut entry.bytes, bytes + OVERHEAD);
        map.bytes = map.bytes - before + bytes + OVERHEAD;
        let gone = self.make_room(&mut map);
        drop(map);
        drop(gone);
    }

    /// What has to go, for the caller to drop.
    fn make_room(&self, map: &mut Map) -> Vec<Entry> {
        let mut gone = Vec::new();
        while map.bytes > self.most_bytes || map.entries.len() > self.most {
            let oldest = map.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone());
            let Some(oldest) = oldest else { break };
            gone.extend(map.take(&oldest));
            metrics::counter!("mcp_vector_index_evictions_total").increment(1);
        }
        map.gauge();
        gone
    }

    /// Holds nothing for the tenants in `closed`, from now on.
    pub(super) fn close(&self, closed: &mut watch::Receiver<HashSet<TenantId>>) {
        let mut map = self.lock();
        // In this order, as in `put`: whoever closes a tenant waits for those that look, and they for no one.
        let shut = closed.borrow_and_update();
        let gone = map.take_all(|tenant| shut.contains(tenant));
        drop(shut);
        map.closed = Some(closed.clone());
        drop(map);
        drop(gone);
    }

    /// Lets go of all that is held for a tenant; says of how many indexes.
    pub(super) fn erase(&self, tenant: &TenantId) -> usize {
        let mut map = self.lock();
        let gone = map.take_all(|of| of == tenant);
        drop(map);
        gone.len()
    }

    /// Holds no index of that space any more, if it is still this one.
    pub(super) fn forget(&self, key: &Key, held: &Arc<Held>) {
        let mut map = self.lock();
        if map.entries.get(key).is_some_and(|entry| Arc::ptr_eq(&entry.held, held)) {
            let gone = map.take(key);
            drop(map);
            drop(gone);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Map> {
        // No method leaves a map that is half changed.
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Map {
    fn take(&mut self, key: &Key) -> Option<Entry> {
        let entry = self.entries.remove(key)?;
        self.bytes -= entry.bytes;
        Some(entry)
    }

    fn take_all(&mut self, of: impl Fn(&TenantId) -> bool) -> Vec<Entry> {
        let keys: Vec<Key> = self.entries.keys().filter(|key| of(&key.0)).cloned().collect();
        let taken = keys.iter().filter_map(|key| self.take(key)).collect();
        self.gauge();
        taken
    }

    fn gauge(&self) {
        metrics::gauge!("mcp_vector_index_bytes").set(self.bytes as f64);
        metrics::gauge!("mcp_vector_indexes").set(self.entries.len() as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::exact::Exact, *};
    use crate::memory::Namespace;

    fn key(user: usize) -> Key {
        let namespace = Namespace::parse(&format!("user/{user}")).unwrap();
        (TenantId::parse("acme").unwrap(), Space { namespace, model: "m".to_owned(), dimensions: 2 })
    }

    fn held() -> Arc<Held> {
        Held::new(Box::<Exact>::default())
    }

    #[test]
    fn what_was_not_used_for_longest_makes_room() {
        let spaces = Spaces::new(3 * (1000 + OVERHEAD), 100);
        for user in 0..3 {
            spaces.put(key(user), held(), 1000);
        }
        assert!(spaces.get(&key(0)).is_some());
        spaces.put(key(3), held(), 1000);
        assert!(spaces.get(&key(1)).is_none());
        assert!(spaces.get(&key(0)).is_some());
        // One that grows pushes others out, and is counted once; one that is held no more counts for nothing.
        let grown = spaces.get(&key(3)).unwrap();
        spaces.weigh(&key(3), &held(), 9000);
        spaces.weigh(&key(3), &grown, 2000 + OVERHEAD);
        assert!(spaces.get(&key(2)).is_none());
        assert!(spaces.get(&key(0)).is_some() && spaces.get(&key(3)).is_some());
        assert_eq!(spaces.lock().bytes, 3 * (1000 + OVERHEAD));
    }

    #[test]
    fn there_are_at_most_so_many_and_only_the_one_that_is_meant_is_forgotten() {
        let spaces = Spaces::new(usize::MAX, 2);
        for user in 0..3 {
            spaces.put(key(user), held(), 1);
        }
        assert!(spaces.get(&key(0)).is_none());
        spaces.forget(&key(1), &held());
        let there = spaces.get(&key(1)).unwrap();
        spaces.forget(&key(1), &there);
        assert!(spaces.get(&key(1)).is_none());
        assert_eq!(spaces.lock().bytes, 1 + OVERHEAD);
    }
}
