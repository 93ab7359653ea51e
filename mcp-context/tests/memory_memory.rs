//! The suite of memories on the backend in memory, and proof that it bites.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not test functions")]

use std::sync::Arc;

use async_trait::async_trait;
use mcp_context::{
    conformance::{self, Letters, MEMORY_STORE, MemoryHarness, MemoryLog},
    memory::{
        Memories, Memory, MemoryId, MemoryStore, Namespace, NewMemory, Recall, ReferenceMemoryStore, Stored,
        VectorChanges,
    },
    vector::{Changes, Near, Space, Vector, VectorIndex},
};
use mcp_core::{Result, Scope, conformance::scope_of, scope::TenantId};
use serde_json::Map;

mod indexes;

fn harness(store: Arc<dyn MemoryStore>, inner: ReferenceMemoryStore) -> Arc<MemoryHarness> {
    let logs = move |scope| {
        let audited = inner.audited(&scope).into_iter();
        let audited = audited.map(|record| (record.action.into_owned(), record.resource)).collect();
        let log = MemoryLog { events: inner.events(&scope), audited };
        Box::pin(async { Ok(log) }) as _
    };
    Arc::new(MemoryHarness { store, index: indexes::exact, logs: Box::new(logs) })
}

#[tokio::test]
async fn memory_store_with_every_index() {
    for index in indexes::ALL {
        let report = conformance::run(MEMORY_STORE, async || {
            let store = ReferenceMemoryStore::default();
            let harness = harness(Arc::new(store.clone()), store);
            let harness = Arc::into_inner(harness).map(|harness| MemoryHarness { index: *index, ..harness });
            harness.map(Arc::new).unwrap_or_else(|| unreachable!("nobody else has it"))
        });
        if let Some(failures) = report.await.failures() {
            panic!("{failures}");
        }
    }
}

/// A store with the bugs such stores have: one tenant and one namespace for all, no look for what is there
/// already, words found by chance, versions that skip and forget, things forgotten in name only, events that are
/// written afterwards or never.
#[derive(Debug, Default)]
struct Sloppy(ReferenceMemoryStore);

fn everyone(scope: &Scope) -> Scope {
    let tenant = TenantId::parse("acme");
    tenant.map_or_else(|_| scope.clone(), |tenant| Scope::new(tenant, Arc::new(scope.principal().clone())))
}

#[async_trait]
impl MemoryStore for Sloppy {
    async fn same(&self, _: &Scope, _: &Namespace, _: &str) -> Result<Option<Memory>> {
        Ok(None)
    }
    async fn put(&self, scope: &Scope, new: NewMemory, vector: Option<(&str, &[f32])>) -> Result<Stored> {
        let finite = vector.map(|(model, numbers)| {
            (model, numbers.iter().map(|n| if n.is_finite() { *n } else { 0.0 }).collect::<Vec<_>>())
        });
        let vector = finite.as_ref().map(|(model, numbers)| (*model, numbers.as_slice()));
        let vector = vector.filter(|(_, numbers)| !numbers.is_empty());
        tokio::task::yield_now().await;
        // Every text is another.
        let text = format!("{}{}", new.text, " ".repeat(self.0.events(&everyone(scope)).len() % 7));
        self.0.put(&everyone(scope), NewMemory { text, ..new }, vector).await
    }
    async fn by_words(
        &self,
        scope: &Scope,
        namespace: &Namespace,
        words: &[String],
        _: u32,
    ) -> Result<Vec<MemoryId>> {
        let mut found = self.0.by_words(&everyone(scope), namespace, words, 1000).await?;
        found.reverse();
        Ok(found)
    }
    async fn version(&self, scope: &Scope, namespace: &Namespace) -> Result<i64> {
        // A sequence that knows nothing of commits and counts every second one.
        Ok(self.0.version(&everyone(scope), namespace).await? / 2)
    }
    async fn vectors(
        &self,
        scope: &Scope,
        namespace: &Namespace,
        model: &str,
        _: Option<MemoryId>,
        limit: u32,
    ) -> Result<Vec<Vector>> {
        // Ends, as it must, and leaves out what is on the second page.
        let mut page = self.0.vectors(&everyone(scope), namespace, model, None, limit).await?;
        page.reverse();
        if page.len() == limit as usize {
            page.clear();
        }
        Ok(page)
    }
    async fn changes(
        &self,
        scope: &Scope,
        namespace: &Namespace,
        model: &str,
        since: i64,
        until: i64,
    ) -> Result<Option<VectorChanges>> {
        let changes = self.0.changes(&everyone(scope), namespace, model, since.max(0), until).await?;
        Ok(changes.map(|changes| VectorChanges { removed: Vec::new(), ..changes }))
    }
    async fn get(&self, scope: &Scope, ids: &[MemoryId]) -> Result<Vec<Memory>> {
        self.0.get(&everyone(scope), ids).await
    }
    async fn forget(&self, _: &Scope, _: &MemoryId) -> Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_sloppy_store_is_found_out() {
    let report = conformance::run(MEMORY_STORE, async || {
        let store = Sloppy::default();
        let inner = store.0.clone();
        harness(Arc::new(store), inner)
    });
    let report = report.await;
    for (promise, _) in MEMORY_STORE {
        // Meanings are compared by the index, which this suite takes as it is.
        if *promise != "found_by_its_meaning" {
            assert!(report.failed(promise), "`{promise}` was not found broken");
        }
    }
}

/// An index that holds nothing, or finds what it was told, whoever asks.
#[derive(Debug)]
struct Lying(Option<MemoryId>);

#[async_trait]
impl VectorIndex for Lying {
    async fn version(&self, _: &Scope, _: &Space) -> Result<Option<i64>> {
        Ok(None)
    }
    async fn apply(&self, _: &Scope, _: &Space, _: Changes) -> Result<()> {
        Ok(())
    }
    async fn search(&self, _: &Scope, _: &Space, _: i64, _: &[f32], _: usize) -> Result<Option<Vec<Near>>> {
        Ok(self.0.map(|id| vec![Near { id, similarity: 1.0 }]))
    }
    async fn len(&self, _: &Scope, _: &Space) -> Result<usize> {
        Ok(0)
    }
}

/// One that has every version there is.
#[derive(Debug)]
struct InStep(Lying);

#[async_trait]
impl VectorIndex for InStep {
    async fn version(&self, _: &Scope, space: &Space) -> Result<Option<i64>> {
        Ok(Some(if space.namespace.as_str() == "user/u" { 1 } else { 0 }))
    }
    async fn apply(&self, scope: &Scope, space: &Space, changes: Changes) -> Result<()> {
        self.0.apply(scope, space, changes).await
    }
    async fn search(
        &self,
        scope: &Scope,
        space: &Space,
        version: i64,
        query: &[f32],
        limit: usize,
    ) -> Result<Option<Vec<Near>>> {
        self.0.search(scope, space, version, query, limit).await
    }
    async fn len(&self, _: &Scope, _: &Space) -> Result<usize> {
        Ok(0)
    }
}

fn question(namespace: &str) -> Recall {
    Recall { namespace: Namespace::parse(namespace).unwrap(), query: "zzz".to_owned(), limit: 10 }
}

#[tokio::test]
async fn what_an_index_finds_counts_if_its_row_is_the_tenants_and_the_namespaces() {
    let (acme, globex) = (scope_of("acme").unwrap(), scope_of("globex").unwrap());
    let store = ReferenceMemoryStore::default();
    let namespace = Namespace::parse("user/u").unwrap();
    let new = NewMemory { namespace, text: "secret plan".to_owned(), metadata: Map::new() };
    let secret = store.put(&acme, new, None).await.unwrap().memory;
    let index = Arc::new(InStep(Lying(Some(secret.id))));
    let memories = Memories::new(Arc::new(store.clone()), Some(Arc::new(Letters::default())), index);
    // The index is believed: where the row is there, its hit counts.
    let own = memories.recall(&acme, &question("user/u")).await.unwrap();
    assert_eq!((own.semantic, own.items.len()), (true, 1));
    let elsewhere = memories.recall(&acme, &question("user/v")).await.unwrap();
    assert_eq!((elsewhere.semantic, elsewhere.items.len()), (true, 0));
    let theirs = memories.recall(&globex, &question("user/v")).await.unwrap();
    assert_eq!((theirs.semantic, theirs.items.len()), (true, 0));
    store.forget(&acme, &secret.id).await.unwrap();
    assert_eq!(memories.recall(&acme, &question("user/u")).await.unwrap().items, vec![]);
}

#[tokio::test]
async fn an_index_that_is_dropped_again_and_again_leaves_the_words_and_is_told_of() {
    let acme = scope_of("acme").unwrap();
    let store = Arc::new(ReferenceMemoryStore::default());
    let memories = Memories::new(store, Some(Arc::new(Letters::default())), Arc::new(Lying(None)));
    let namespace = Namespace::parse("user/u").unwrap();
    let new = NewMemory { namespace, text: "zzz".to_owned(), metadata: Map::new() };
    memories.remember(&acme, new).await.unwrap();
    let recalled = memories.recall(&acme, &question("user/u")).await.unwrap();
    assert_eq!((recalled.semantic, recalled.items.len()), (false, 1));
    assert!(recalled.note.unwrap().contains("only words were compared"));
}
