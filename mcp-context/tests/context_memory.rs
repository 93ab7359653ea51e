//! The suite on the backend in memory, and proof that it bites.

use std::sync::Arc;

use async_trait::async_trait;
use mcp_context::{
    Page,
    conformance::{self, CONTEXT_STORE, ContextHarness},
    context::{
        Append, Appended, Context, ContextHead, ContextId, ContextQuery, ContextStore, MemoryContextStore,
        Message, MessageQuery, NewContext,
    },
};
use mcp_core::{ErrorKind, Result, Scope};
use serde_json::{Map, Value};

fn harness(store: Arc<dyn ContextStore>, inner: MemoryContextStore) -> Arc<ContextHarness> {
    let events = move |scope| {
        let events = inner.events(&scope);
        Box::pin(async { Ok(events) }) as _
    };
    Arc::new(ContextHarness { store, events: Box::new(events) })
}

#[tokio::test]
async fn context_store() {
    let report = conformance::run(CONTEXT_STORE, async || {
        let store = MemoryContextStore::default();
        harness(Arc::new(store.clone()), store)
    });
    if let Some(failures) = report.await.failures() {
        panic!("{failures}");
    }
}

/// A store with the bugs such stores have: read–modify–write without a version, keys nobody looks up, limits
/// nobody counts, a list without its cursor, one tenant for all.
#[derive(Debug, Default)]
struct Sloppy(MemoryContextStore);

fn everyone(scope: &Scope) -> Scope {
    let tenant = mcp_core::scope::TenantId::parse("acme");
    tenant.map_or_else(|_| scope.clone(), |tenant| Scope::new(tenant, Arc::new(scope.principal().clone())))
}

#[async_trait]
impl ContextStore for Sloppy {
    async fn create(&self, scope: &Scope, new: NewContext) -> Result<Context> {
        let new = NewContext { idempotency_key: None, at_most: None, ..new };
        self.0.create(&everyone(scope), new).await
    }
    async fn read(&self, scope: &Scope, id: &ContextId, newest: u32) -> Result<Context> {
        self.0.read(&everyone(scope), id, newest).await
    }
    async fn list(&self, scope: &Scope, query: &ContextQuery) -> Result<Page<ContextHead>> {
        let query = ContextQuery { limit: query.limit, ..ContextQuery::default() };
        let page = self.0.list(&everyone(scope), &query).await?;
        Ok(Page { next_cursor: None, ..page })
    }
    async fn messages(&self, scope: &Scope, id: &ContextId, query: &MessageQuery) -> Result<Page<Message>> {
        let query = MessageQuery { newest_first: false, ..query.clone() };
        self.0.messages(&everyone(scope), id, &query).await
    }
    async fn append(&self, scope: &Scope, id: &ContextId, append: Append) -> Result<Appended> {
        let scope = everyone(scope);
        let read = self.0.read(&scope, id, 0).await?.head;
        tokio::task::yield_now().await;
        let append = Append { idempotency_key: None, expected_version: None, ..append };
        let count = append.messages.len() as i64;
        self.0.append(&scope, id, append).await?;
        let (first_seq, last_seq) = (read.messages + 1, read.messages + count);
        Ok(Appended { version: read.version + 1, first_seq, last_seq })
    }
    async fn patch(
        &self,
        scope: &Scope,
        id: &ContextId,
        patch: Map<String, Value>,
        _: i64,
    ) -> Result<Context> {
        let scope = everyone(scope);
        loop {
            let current = self.0.read(&scope, id, 0).await?.head.version;
            match self.0.patch(&scope, id, patch.clone(), current).await {
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                other => return other,
            }
        }
    }
    async fn delete(&self, _: &Scope, _: &ContextId, _: Option<i64>) -> Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_sloppy_store_is_found_out() {
    let report = conformance::run(CONTEXT_STORE, async || {
        let store = Sloppy::default();
        let inner = store.0.clone();
        harness(Arc::new(store), inner)
    });
    let report = report.await;
    for promise in [
        "nothing_lost_nothing_twice",
        "no_lost_update",
        "trying_again_is_safe",
        "at_most_so_many",
        "tenants_are_kept_apart",
        "lists_are_complete_and_in_order",
        "messages_are_paged_both_ways",
        "one_change_one_event",
        "deleted_is_gone",
    ] {
        assert!(report.failed(promise), "`{promise}` was not found broken");
    }
}
