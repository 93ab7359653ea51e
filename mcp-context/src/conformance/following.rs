//! That whoever follows the versions of a namespace misses nothing, whichever process changed it.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
};

use futures_util::future::join_all;
use mcp_core::{ErrorKind, Result, Scope, conformance::Outcome};

use super::{
    acme, ensure, ensure_eq, ensure_error, globex,
    memories::{Harness, new, recall, texts},
};
use crate::{
    memory::{KEPT_VERSIONS, MemoryId, MemoryStore, Namespace},
    vector::Vector,
};

async fn put(store: &dyn MemoryStore, scope: &Scope, text: &str, model: &str, at: f32) -> Result<MemoryId> {
    Ok(store.put(scope, new("user/u", text)?, Some((model, &[at, 1.0]))).await?.memory.id)
}

pub(super) async fn versions_tell_of_every_change(h: Harness) -> Outcome {
    let (scope, namespace, store) = (acme()?, Namespace::parse("user/u")?, &*h.store);
    ensure_eq(store.version(&scope, &namespace).await?, 0, "the version before the first memory")?;
    let first = put(store, &scope, "one", "m", 1.0).await?;
    let second = put(store, &scope, "two", "m", 2.0).await?;
    put(store, &scope, "three", "other", 3.0).await?;
    put(store, &scope, "one", "m", 9.0).await?;
    ensure_eq(store.version(&scope, &namespace).await?, 3, "the version after three memories")?;
    store.forget(&scope, &first).await?;
    ensure_error(store.forget(&scope, &first).await, ErrorKind::NotFound, "forgetting it again")?;
    ensure_eq(store.version(&scope, &namespace).await?, 4, "the version after one was forgotten")?;

    for (since, until, added, removed) in [
        (0, 4, vec![second], vec![first]),
        (0, 1, vec![], vec![]),
        (1, 2, vec![second], vec![]),
        (2, 3, vec![], vec![]),
        (3, 4, vec![], vec![first]),
        (4, 4, vec![], vec![]),
    ] {
        let changes = store.changes(&scope, &namespace, "m", since, until).await?.unwrap_or_default();
        let ids: Vec<_> = changes.added.iter().map(|vector| vector.id).collect();
        ensure_eq((ids, changes.removed), (added, removed), &format!("the changes from {since} to {until}"))?;
    }
    let elsewhere = Namespace::parse("user/v")?;
    ensure_eq(store.version(&scope, &elsewhere).await?, 0, "another namespace's version")?;
    ensure_eq(store.version(&globex()?, &namespace).await?, 0, "another tenant's version")?;
    let theirs = store.changes(&globex()?, &namespace, "m", 0, 4).await?.unwrap_or_default();
    ensure_eq((theirs.added.len(), theirs.removed.len()), (0, 0), "another tenant's changes")?;
    let long_ago = store.changes(&scope, &namespace, "m", 3 - KEPT_VERSIONS, 4).await?;
    ensure(long_ago.is_none(), "changes are told from a version of which nothing is known any more")
}

pub(super) async fn vectors_are_paged_newest_first(h: Harness) -> Outcome {
    let (scope, namespace, store) = (acme()?, Namespace::parse("user/u")?, &*h.store);
    let mut made = Vec::new();
    for n in 0..5 {
        made.push(put(store, &scope, &format!("text {n}"), "m", n as f32).await?);
    }
    put(store, &scope, "of another model", "other", 0.0).await?;
    store.put(&scope, new("user/u", "without a vector")?, None).await?;
    let (mut before, mut seen) = (None, Vec::<Vector>::new());
    loop {
        let page = store.vectors(&scope, &namespace, "m", before, 2).await?;
        let Some(oldest) = page.last() else { break };
        ensure(page.len() <= 2, format!("a page of 2 has {} vectors", page.len()))?;
        before = Some(oldest.id);
        seen.extend(page);
    }
    made.reverse();
    ensure_eq(seen.iter().map(|vector| vector.id).collect(), made, "all pages")?;
    let numbers: Vec<_> = seen.iter().map(|vector| vector.numbers[0]).collect();
    ensure_eq(numbers, vec![4.0, 3.0, 2.0, 1.0, 0.0], "their numbers")
}

/// An index that follows by the versions alone has what the store has, however writers met.
pub(super) async fn writers_at_once_lose_no_version(h: Harness) -> Outcome {
    let (scope, namespace, store) = (acme()?, Namespace::parse("user/u")?, &*h.store);
    let write = async |writer: usize| -> Result<()> {
        for n in 0..6 {
            let id = put(store, &scope, &format!("text {writer} {n}"), "m", n as f32).await?;
            if n % 3 == 0 {
                store.forget(&scope, &id).await?;
            }
        }
        Ok(())
    };
    let ended = AtomicBool::new(false);
    let writers = async {
        let written = join_all((0..8).map(write)).await;
        ended.store(true, Ordering::SeqCst);
        written.into_iter().collect::<Result<Vec<()>>>()
    };
    // Follows while they write, and so meets versions in the middle; goes on once more after their end.
    let follow = async {
        let (mut held, mut since, mut last) = (BTreeMap::new(), 0, false);
        while !last {
            last = ended.load(Ordering::SeqCst);
            let until = store.version(&scope, &namespace).await?;
            let changes = store.changes(&scope, &namespace, "m", since, until).await?.unwrap_or_default();
            for id in &changes.removed {
                held.remove(id);
            }
            held.extend(changes.added.into_iter().map(|vector| (vector.id, vector.numbers)));
            since = until;
            tokio::task::yield_now().await;
        }
        Ok::<_, mcp_core::Error>((since, held))
    };
    let (written, followed) = tokio::join!(writers, follow);
    written?;
    let (version, followed) = followed?;
    ensure_eq(version, 8 * (6 + 2), "the version after every change")?;
    let there = store.vectors(&scope, &namespace, "m", None, 1000).await?;
    let there: BTreeMap<_, _> = there.into_iter().map(|vector| (vector.id, vector.numbers)).collect();
    ensure_eq(there.len(), 8 * 4, "how many are there")?;
    ensure_eq(followed, there, "what was followed")
}

pub(super) async fn other_replicas_changes_are_found(h: Harness) -> Outcome {
    let scope = acme()?;
    let (here, there) = (h.with_letters(), h.with_letters());
    for text in ["zzz", "qqq"] {
        here.remember(&scope, new("user/u", text)?).await?;
    }
    for memories in [&here, &there] {
        let found = recall(memories, &scope, "user/u", "q q").await?;
        ensure_eq(texts(&found).first().copied(), Some("qqq"), "what both know")?;
    }
    let added = there.remember(&scope, new("user/u", "abab")?).await?.memory;
    let found = recall(&here, &scope, "user/u", "baba").await?;
    ensure(found.semantic, "meanings were not compared")?;
    ensure_eq(texts(&found).first().copied(), Some("abab"), "what another replica remembered")?;
    there.forget(&scope, &added.id).await?;
    for memories in [&here, &there] {
        let found = recall(memories, &scope, "user/u", "baba").await?;
        ensure(!texts(&found).contains(&"abab"), "what another replica forgot is recalled")?;
        ensure_eq(found.items.len(), 2, "what is left")?;
    }
    Ok(())
}
