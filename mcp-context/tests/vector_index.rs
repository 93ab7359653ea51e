//! The suite on every vector index, proof that it bites, and the bounds of those in memory.

#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests are not test functions")]

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use mcp_context::{
    conformance::{self, VECTOR_INDEX, clustered},
    memory::{MemoryId, Namespace},
    vector::{Changes, LocalConfig, LocalVectorIndex, Near, Space, Vector, VectorIndex},
};
use mcp_core::{
    Result, Scope,
    conformance::{eventually, platform, scope_of},
    erase::TenantEraser as _,
};
use tokio::sync::watch;

mod indexes;

async fn kept_by(index: fn() -> Arc<dyn VectorIndex>) {
    let report = conformance::run(VECTOR_INDEX, async || index()).await;
    if let Some(failures) = report.failures() {
        panic!("{failures}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_index_keeps_its_promises() {
    for index in indexes::ALL {
        kept_by(*index).await;
    }
}

/// The threshold lies in the middle of what the checks use.
#[cfg(feature = "usearch")]
#[tokio::test(flavor = "multi_thread")]
async fn a_graph_beside_vectors_that_are_compared_keeps_them_too() {
    kept_by(|| {
        let config = LocalConfig { exact_up_to: 300, threads: 2, ..LocalConfig::default() };
        Arc::new(LocalVectorIndex::usearch(config).unwrap())
    })
    .await;
}

/// An index with the bugs such indexes have: one for all tenants and spaces, no version, nothing checked, what is
/// removed stays, what is replaced is there twice, distances where there should be angles.
#[derive(Debug, Default)]
struct Sloppy(Mutex<Vec<Vector>>);

#[async_trait]
impl VectorIndex for Sloppy {
    async fn version(&self, _: &Scope, _: &Space) -> Result<Option<i64>> {
        Ok(Some(0))
    }
    async fn apply(&self, _: &Scope, _: &Space, changes: Changes) -> Result<()> {
        for vector in changes.added {
            tokio::task::yield_now().await;
            self.0.lock().unwrap().push(vector);
        }
        Ok(())
    }
    async fn search(
        &self,
        _: &Scope,
        _: &Space,
        _: i64,
        query: &[f32],
        limit: usize,
    ) -> Result<Option<Vec<Near>>> {
        let vectors = self.0.lock().unwrap();
        let near = |vector: &Vector| {
            let dot: f32 = vector.numbers.iter().zip(query).map(|(a, b)| a * b).sum();
            Near { id: vector.id, similarity: dot }
        };
        // Every third is looked at.
        let mut near: Vec<_> = vectors.iter().step_by(3).map(near).collect();
        near.sort_by(|a, b| b.similarity.total_cmp(&a.similarity));
        near.truncate(limit);
        Ok(Some(near))
    }
    async fn len(&self, _: &Scope, _: &Space) -> Result<usize> {
        Ok(self.0.lock().unwrap().len())
    }
}

#[tokio::test]
async fn a_sloppy_index_is_found_out() {
    let report = conformance::run(VECTOR_INDEX, async || Arc::new(Sloppy::default()) as Arc<dyn VectorIndex>);
    let report = report.await;
    for (promise, _) in VECTOR_INDEX {
        assert!(report.failed(promise), "`{promise}` was not found broken");
    }
}

fn space(user: usize) -> Space {
    let namespace = Namespace::parse(&format!("user/{user}")).unwrap();
    Space { namespace, model: "m".to_owned(), dimensions: 16 }
}

fn build(until: i64, count: usize) -> Changes {
    let with_id = |numbers| Vector { id: MemoryId::generate(), numbers };
    let added = clustered(count).into_iter().map(with_id).collect();
    Changes { since: None, until, added, removed: Vec::new() }
}

fn bounded(bytes: usize) -> Vec<LocalVectorIndex> {
    let config = LocalConfig { bytes, exact_up_to: 100, ..LocalConfig::default() };
    vec![
        LocalVectorIndex::exact(config.clone()).unwrap(),
        #[cfg(feature = "usearch")]
        LocalVectorIndex::usearch(config).unwrap(),
    ]
}

#[tokio::test]
async fn memory_is_bounded_and_what_goes_is_built_again_when_it_is_asked_for() {
    let scope = scope_of("acme").unwrap();
    for index in bounded(100 * 1024) {
        for user in 0..20 {
            index.apply(&scope, &space(user), build(1, 50)).await.unwrap();
        }
        let mut held = Vec::new();
        for user in 0..20 {
            if index.version(&scope, &space(user)).await.unwrap().is_some() {
                held.push(user);
            }
        }
        assert!((2..20).contains(&held.len()), "{held:?} are held");
        assert_eq!(held.last(), Some(&19), "the newest has to go last");
        let query = &clustered(1)[0];
        assert_eq!(index.search(&scope, &space(0), 1, query, 1).await.unwrap(), None);
        index.apply(&scope, &space(0), build(2, 50)).await.unwrap();
        assert_eq!(index.search(&scope, &space(0), 2, query, 1).await.unwrap().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_space_has_the_newest_there_is_room_for() {
    let scope = scope_of("acme").unwrap();
    // Half of it is room for 400 vectors of 64 bytes and what may be beside them.
    for index in bounded(2 * 400 * (64 + 512)) {
        let changes = build(1, 500);
        let ids: BTreeMap<_, _> = changes.added.iter().map(|v| (v.id, v.numbers.clone())).collect();
        index.apply(&scope, &space(0), changes).await.unwrap();
        assert_eq!(index.len(&scope, &space(0)).await.unwrap(), 400);
        let (oldest, newest) = (ids.first_key_value().unwrap(), ids.last_key_value().unwrap());
        for (known, (id, numbers)) in [(false, oldest), (true, newest)] {
            let near = index.search(&scope, &space(0), 1, numbers, 1).await.unwrap().unwrap();
            assert_eq!(near[0].id == *id, known);
        }
    }
}

#[test]
fn bounds_of_zero_are_refused() {
    for config in [
        LocalConfig { bytes: 0, ..LocalConfig::default() },
        LocalConfig { spaces: 0, ..LocalConfig::default() },
        LocalConfig { threads: 0, ..LocalConfig::default() },
    ] {
        let error = LocalVectorIndex::exact(config).unwrap_err();
        assert_eq!(error.kind(), mcp_core::ErrorKind::InvalidInput);
    }
}

fn of_users(user: usize) -> Space {
    let namespace = Namespace::parse(&format!("user/{user}")).unwrap();
    Space { namespace, model: "m".to_owned(), dimensions: 2 }
}

async fn hold(index: &LocalVectorIndex, scope: &Scope, space: &Space) {
    let added = vec![Vector { id: MemoryId::generate(), numbers: vec![1.0, 0.0] }];
    let changes = Changes { since: None, until: 1, added, removed: Vec::new() };
    index.apply(scope, space, changes).await.unwrap();
}

/// Two replicas that are told of the same closed tenants.
#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_is_closed_loses_its_indexes_in_every_replica_and_gets_none_until_it_is_opened() {
    let (acme, globex) = (scope_of("acme").unwrap(), scope_of("globex").unwrap());
    let sender = watch::Sender::new(HashSet::new());
    let replicas: Vec<_> = (0..2)
        .map(|_| {
            let index = Arc::new(LocalVectorIndex::exact(LocalConfig::default()).unwrap());
            let (following, closed) = (index.clone(), sender.subscribe());
            (index, tokio::spawn(async move { following.follow_closed(closed).await }))
        })
        .collect();
    for (index, _) in &replicas {
        for scope in [&acme, &globex] {
            hold(index, scope, &of_users(1)).await;
            hold(index, scope, &of_users(2)).await;
        }
    }
    sender.send_replace([acme.tenant().clone()].into());
    for (index, _) in &replicas {
        for user in [1, 2] {
            let gone = eventually("a closed tenant has an index", || async {
                Ok(index.version(&acme, &of_users(user)).await?.is_none())
            });
            gone.await.unwrap_or_else(|failure| panic!("{failure}"));
            assert_eq!(index.version(&globex, &of_users(user)).await.unwrap(), Some(1));
        }
        // As by a recall that began before.
        hold(index, &acme, &of_users(1)).await;
        assert_eq!(index.version(&acme, &of_users(1)).await.unwrap(), None);
    }
    sender.send_replace(HashSet::new());
    for (index, _) in &replicas {
        hold(index, &acme, &of_users(1)).await;
        assert_eq!(index.version(&acme, &of_users(1)).await.unwrap(), Some(1));
    }
    drop(sender);
    for (_, following) in replicas {
        following.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn erasing_a_tenant_takes_its_indexes_and_no_other_and_may_be_repeated() {
    let (acme, globex) = (scope_of("acme").unwrap(), scope_of("globex").unwrap());
    let index = LocalVectorIndex::exact(LocalConfig::default()).unwrap();
    for scope in [&acme, &globex] {
        hold(&index, scope, &of_users(1)).await;
        hold(&index, scope, &of_users(2)).await;
    }
    let operator = platform().unwrap();
    assert_eq!(index.erase(&operator, acme.tenant()).await.unwrap().counts["vector_index"], 2);
    assert_eq!(index.erase(&operator, acme.tenant()).await.unwrap().total(), 0);
    assert_eq!(index.version(&acme, &of_users(1)).await.unwrap(), None);
    assert_eq!(index.version(&globex, &of_users(2)).await.unwrap(), Some(1));
}
