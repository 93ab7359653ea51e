//! The promises of [`MemoryStore`](crate::memory::MemoryStore) on the order of what is found by its words.

use mcp_core::{Result, Scope, conformance::Outcome};

use super::{
    acme, ensure_eq, globex,
    memories::{Harness, new, recall, texts},
};
use crate::memory::{MemoryId, Namespace};

async fn found(h: &Harness, scope: &Scope, words: &[&str], limit: u32) -> Result<Vec<String>> {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let ids = h.store.by_words(scope, &Namespace::parse("user/u")?, &words, limit).await?;
    let there = h.store.get(scope, &ids).await?;
    let text = |id: &MemoryId| there.iter().find(|memory| memory.id == *id).map(|memory| memory.text.clone());
    Ok(ids.iter().filter_map(text).collect())
}

/// One memory with a rare word, the oldest; the others have a common one.
async fn remembered(h: &Harness, scope: &Scope) -> Outcome {
    for text in [
        "Once saw a walrus, and speaks of it",
        "tea at three",
        "tea at nine",
        "tea at five",
        "tea and only tea, as long as there is some left",
    ] {
        h.store.put(scope, new("user/u", text)?, None).await?;
    }
    Ok(())
}

pub(super) async fn rarer_and_shorter_first(h: Harness) -> Outcome {
    let scope = acme()?;
    remembered(&h, &scope).await?;
    let expected = [
        "Once saw a walrus, and speaks of it",
        "tea at five",
        "tea at nine",
        "tea at three",
        "tea and only tea, as long as there is some left",
    ];
    ensure_eq(
        &found(&h, &scope, &["tea", "walrus"], 10).await?[..],
        &expected.map(str::to_owned)[..],
        "the order",
    )?;
    ensure_eq(
        &found(&h, &scope, &["tea", "walrus"], 2).await?[..],
        &expected.map(str::to_owned)[..2],
        "the best two",
    )?;
    h.store.put(&scope, new("user/u", "tea with a walrus")?, None).await?;
    let best = found(&h, &scope, &["tea", "walrus"], 1).await?;
    ensure_eq(best, vec!["tea with a walrus".to_owned()], "what holds both")?;
    // More words than count, and none of those that do.
    let many: Vec<String> = (0..64).map(|n| format!("a{n:02}")).chain(["tea".to_owned()]).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    ensure_eq(found(&h, &scope, &many, 10).await?, vec![], "what the 65th word finds")?;
    let last: Vec<&str> = many[..63].iter().copied().chain(["walrus"]).collect();
    ensure_eq(found(&h, &scope, &last, 10).await?.len(), 2, "what the 64th word finds")
}

pub(super) async fn nobody_elses_words_count(h: Harness) -> Outcome {
    let (scope, other) = (acme()?, globex()?);
    remembered(&h, &scope).await?;
    let memories = h.memories(None);
    let before = recall(&memories, &scope, "user/u", "tea or a walrus").await?;
    let mut forgotten = Vec::new();
    for n in 0..30 {
        for (scope, namespace) in [(&other, "user/u"), (&scope, "user/v")] {
            let put = h.store.put(scope, new(namespace, &format!("the walrus {n}"))?, None).await?;
            forgotten.push((scope, put.memory.id));
        }
    }
    let after = recall(&memories, &scope, "user/u", "tea or a walrus").await?;
    ensure_eq(texts(&after), texts(&before), "what is found while others hold the rare word")?;
    for (scope, id) in forgotten {
        h.store.forget(scope, &id).await?;
    }
    let after = recall(&memories, &scope, "user/u", "tea or a walrus").await?;
    ensure_eq(after, before, "what is found after they forgot it")
}
