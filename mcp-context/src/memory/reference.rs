//! Memories in memory: the readable reference.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use mcp_core::{
    Result, Scope,
    audit::AuditRecord,
    clock::{Clock, SystemClock},
    event::Event,
    scope::TenantId,
};

use super::{
    Memory, MemoryId, MemoryStore, Namespace, NewMemory, Stored, VectorChanges, change,
    check::{self, MOST_WORDS, all_words},
    rank::{Holder, best},
    store::{KEPT_VERSIONS, MAX_VECTORS_READ, not_found},
};
use crate::vector::Vector;

/// Events and audit records that a tenant's logs keep.
const LOGGED: usize = 10_000;

/// A [`MemoryStore`] in memory. Clones share their memories.
#[derive(Debug, Clone)]
pub struct ReferenceMemoryStore {
    clock: Arc<dyn Clock>,
    tenants: Arc<Mutex<HashMap<TenantId, Tenant>>>,
}

#[derive(Debug, Default)]
struct Tenant {
    rows: BTreeMap<MemoryId, Row>,
    namespaces: HashMap<Namespace, Versions>,
    events: VecDeque<Event>,
    audited: VecDeque<AuditRecord>,
}

#[derive(Debug, Default)]
struct Versions {
    current: i64,
    /// What was forgotten, by version.
    forgotten: BTreeMap<i64, MemoryId>,
}

#[derive(Debug)]
struct Row {
    memory: Memory,
    vector: Option<(String, Vec<f32>)>,
    version: i64,
}

impl Row {
    fn vector_of(&self, model: &str) -> Option<Vector> {
        let (name, numbers) = self.vector.as_ref()?;
        (name == model).then(|| Vector { id: self.memory.id, numbers: numbers.clone() })
    }
}

impl Tenant {
    /// The next version of a namespace.
    fn next(&mut self, namespace: &Namespace) -> (i64, &mut Versions) {
        let versions = self.namespaces.entry(namespace.clone()).or_default();
        versions.current += 1;
        (versions.current, versions)
    }
}

/// Adds to a log, whose oldest entry makes room.
fn log<T>(entries: &mut VecDeque<T>, entry: T) {
    if entries.len() == LOGGED {
        entries.pop_front();
    }
    entries.push_back(entry);
}

impl Default for ReferenceMemoryStore {
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock), tenants: Arc::default() }
    }
}

impl ReferenceMemoryStore {
    /// The newest 10,000 events of the tenant's changes, in their order.
    #[must_use]
    pub fn events(&self, scope: &Scope) -> Vec<Event> {
        self.lock().get(scope.tenant()).map(|t| t.events.iter().cloned().collect()).unwrap_or_default()
    }

    /// The newest 10,000 audit records of the tenant's changes, in their order.
    #[must_use]
    pub fn audited(&self, scope: &Scope) -> Vec<AuditRecord> {
        self.lock().get(scope.tenant()).map(|t| t.audited.iter().cloned().collect()).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Tenant>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the rows of one tenant's namespace.
    fn within<T>(&self, scope: &Scope, namespace: &Namespace, ask: impl FnOnce(Vec<&Row>) -> T) -> T {
        let tenants = self.lock();
        let rows = tenants.get(scope.tenant()).into_iter().flat_map(|tenant| tenant.rows.values());
        ask(rows.filter(|row| row.memory.namespace == *namespace).collect())
    }
}

#[async_trait]
impl MemoryStore for ReferenceMemoryStore {
    async fn same(&self, scope: &Scope, namespace: &Namespace, text: &str) -> Result<Option<Memory>> {
        Ok(self.within(scope, namespace, |rows| {
            rows.iter().find(|row| row.memory.text == text).map(|row| row.memory.clone())
        }))
    }

    async fn put(&self, scope: &Scope, new: NewMemory, vector: Option<(&str, &[f32])>) -> Result<Stored> {
        check::memory(&new)?;
        check::vector(vector)?;
        let mut tenants = self.lock();
        let tenant = tenants.entry(scope.tenant().clone()).or_default();
        let same = |row: &&Row| row.memory.namespace == new.namespace && row.memory.text == new.text;
        if let Some(row) = tenant.rows.values().find(same) {
            return Ok(Stored { memory: row.memory.clone(), new: false });
        }
        let memory = change::created(scope, new, self.clock.now());
        let vector = vector.map(|(model, vector)| (model.to_owned(), vector.to_vec()));
        let (version, _) = tenant.next(&memory.namespace);
        tenant.rows.insert(memory.id, Row { memory: memory.clone(), vector, version });
        let event = change::event(scope, "remembered", &memory.id, memory.namespace.as_str());
        log(&mut tenant.events, event.at(self.clock.now()));
        Ok(Stored { memory, new: true })
    }

    async fn by_words(
        &self,
        scope: &Scope,
        namespace: &Namespace,
        wanted: &[String],
        limit: u32,
    ) -> Result<Vec<MemoryId>> {
        Ok(self.within(scope, namespace, |rows| {
            let mut holders: Vec<Holder> = rows
                .iter()
                .map(|row| {
                    let Memory { id, text, .. } = &row.memory;
                    let said: HashSet<String> = all_words(text).collect();
                    let bits = wanted.iter().take(MOST_WORDS).enumerate();
                    let held = bits.filter(|(_, word)| said.contains(*word)).map(|(bit, _)| 1 << bit).sum();
                    Holder { id: *id, held, alike: 0, bytes: text.len() as u64 }
                })
                .filter(|holder| holder.held != 0)
                .collect();
            let mut alike: HashMap<u64, u64> = HashMap::new();
            holders.iter().for_each(|holder| *alike.entry(holder.held).or_default() += 1);
            holders.iter_mut().for_each(|holder| holder.alike = alike[&holder.held]);
            best(holders, limit as usize)
        }))
    }

    async fn version(&self, scope: &Scope, namespace: &Namespace) -> Result<i64> {
        let tenants = self.lock();
        let versions = tenants.get(scope.tenant()).and_then(|tenant| tenant.namespaces.get(namespace));
        Ok(versions.map_or(0, |versions| versions.current))
    }

    async fn vectors(
        &self,
        scope: &Scope,
        namespace: &Namespace,
        model: &str,
        before: Option<MemoryId>,
        limit: u32,
    ) -> Result<Vec<Vector>> {
        Ok(self.within(scope, namespace, |rows| {
            let newest_first = rows.iter().rev();
            let older = newest_first.filter(|row| before.is_none_or(|before| row.memory.id < before));
            older.filter_map(|row| row.vector_of(model)).take(limit.min(MAX_VECTORS_READ) as usize).collect()
        }))
    }

    async fn changes(
        &self,
        scope: &Scope,
        namespace: &Namespace,
        model: &str,
        since: i64,
        until: i64,
    ) -> Result<Option<VectorChanges>> {
        let tenants = self.lock();
        let Some(tenant) = tenants.get(scope.tenant()) else { return Ok(Some(VectorChanges::default())) };
        let Some(versions) = tenant.namespaces.get(namespace) else {
            return Ok(Some(VectorChanges::default()));
        };
        if since < versions.current - KEPT_VERSIONS {
            return Ok(None);
        }
        let of =
            |row: &&Row| row.memory.namespace == *namespace && (since + 1..=until).contains(&row.version);
        let added = tenant.rows.values().filter(of).filter_map(|row| row.vector_of(model)).collect();
        let forgotten = versions.forgotten.iter();
        let between = forgotten.filter(|(version, _)| (since + 1..=until).contains(*version));
        Ok(Some(VectorChanges { added, removed: between.map(|(_, id)| *id).collect() }))
    }

    async fn get(&self, scope: &Scope, ids: &[MemoryId]) -> Result<Vec<Memory>> {
        let tenants = self.lock();
        let rows = tenants.get(scope.tenant()).map(|tenant| &tenant.rows);
        let found = |id: &MemoryId| rows.and_then(|rows| rows.get(id)).map(|row| row.memory.clone());
        Ok(ids.iter().filter_map(found).collect())
    }

    async fn forget(&self, scope: &Scope, id: &MemoryId) -> Result<()> {
        let mut tenants = self.lock();
        let tenant = tenants.get_mut(scope.tenant()).ok_or_else(not_found)?;
        let gone = tenant.rows.remove(id).ok_or_else(not_found)?;
        let namespace = gone.memory.namespace;
        let (version, versions) = tenant.next(&namespace);
        versions.forgotten.insert(version, *id);
        versions.forgotten = versions.forgotten.split_off(&(version - KEPT_VERSIONS + 1));
        let event = change::event(scope, "forgotten", id, namespace.as_str());
        log(&mut tenant.events, event.at(self.clock.now()));
        log(&mut tenant.audited, change::audited(scope, id));
        Ok(())
    }
}
