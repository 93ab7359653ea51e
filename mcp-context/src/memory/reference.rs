//! Memories in memory: the readable reference.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use mcp_core::{
    Result, Scope,
    clock::{Clock, SystemClock},
    scope::TenantId,
};

use super::{
    Memory, MemoryId, MemoryStore, Namespace, NewMemory, Stored, Vector,
    check::{self, words},
    store::{MAX_VECTORS, not_found},
};

/// A [`MemoryStore`] in memory. Clones share their memories. It has no log of events.
#[derive(Debug, Clone)]
pub struct ReferenceMemoryStore {
    clock: Arc<dyn Clock>,
    tenants: Arc<Mutex<HashMap<TenantId, Tenant>>>,
}

type Tenant = BTreeMap<MemoryId, Row>;

#[derive(Debug)]
struct Row {
    memory: Memory,
    vector: Option<(String, Vec<f32>)>,
}

impl Default for ReferenceMemoryStore {
    fn default() -> Self {
        Self { clock: Arc::new(SystemClock), tenants: Arc::default() }
    }
}

impl ReferenceMemoryStore {
    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Tenant>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks the rows of one tenant's namespace.
    fn within<T>(&self, scope: &Scope, namespace: &Namespace, ask: impl FnOnce(Vec<&Row>) -> T) -> T {
        let tenants = self.lock();
        let rows = tenants.get(scope.tenant()).into_iter().flat_map(BTreeMap::values);
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
        let mut tenants = self.lock();
        let rows = tenants.entry(scope.tenant().clone()).or_default();
        let same = |row: &&Row| row.memory.namespace == new.namespace && row.memory.text == new.text;
        if let Some(row) = rows.values().find(same) {
            return Ok(Stored { memory: row.memory.clone(), new: false });
        }
        let memory = Memory {
            id: MemoryId::generate(),
            namespace: new.namespace,
            text: new.text,
            metadata: new.metadata,
            author: scope.principal().id.to_string(),
            created_at: self.clock.now(),
        };
        let vector = vector.map(|(model, vector)| (model.to_owned(), vector.to_vec()));
        rows.insert(memory.id, Row { memory: memory.clone(), vector });
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
            let held: Vec<(MemoryId, Vec<String>)> =
                rows.iter().map(|row| (row.memory.id, words(&row.memory.text))).collect();
            // A word that few hold says more.
            let weight = |word: &String| {
                let holders = held.iter().filter(|(_, words)| words.contains(word)).count();
                (1.0 + held.len() as f32 / holders.max(1) as f32).ln()
            };
            let weights: Vec<(&String, f32)> = wanted.iter().map(|word| (word, weight(word))).collect();
            let score = |words: &Vec<String>| -> f32 {
                weights.iter().filter(|(word, _)| words.contains(word)).map(|(_, weight)| weight).sum()
            };
            let mut scored: Vec<_> = held
                .iter()
                .map(|(id, words)| (score(words), *id))
                .filter(|(score, _)| *score > 0.0)
                .collect();
            scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
            scored.into_iter().take(limit as usize).map(|(_, id)| id).collect()
        }))
    }

    async fn vectors(&self, scope: &Scope, namespace: &Namespace, model: &str) -> Result<Vec<Vector>> {
        Ok(self.within(scope, namespace, |rows| {
            let of_model = rows.iter().rev().filter_map(|row| {
                let (name, numbers) = row.vector.as_ref()?;
                (name == model).then(|| Vector { id: row.memory.id, numbers: numbers.clone() })
            });
            of_model.take(MAX_VECTORS as usize).collect()
        }))
    }

    async fn get(&self, scope: &Scope, ids: &[MemoryId]) -> Result<Vec<Memory>> {
        let tenants = self.lock();
        let rows = tenants.get(scope.tenant());
        let found = |id: &MemoryId| rows.and_then(|rows| rows.get(id)).map(|row| row.memory.clone());
        Ok(ids.iter().filter_map(found).collect())
    }

    async fn forget(&self, scope: &Scope, id: &MemoryId) -> Result<()> {
        let mut tenants = self.lock();
        let removed = tenants.get_mut(scope.tenant()).and_then(|rows| rows.remove(id));
        removed.map(drop).ok_or_else(not_found)
    }
}
