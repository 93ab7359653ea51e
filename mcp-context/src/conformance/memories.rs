//! The promises of [`MemoryStore`] and of [`Memories`] above it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use futures_util::future::join_all;
use mcp_core::{
    Error, ErrorKind, Result, Scope,
    conformance::{Cut, Outcome, cancel_at},
    embed::Embedder,
    error::Detail,
};
use serde_json::{Map, json};

use super::{Check, acme, contexts::object, ensure, ensure_eq, ensure_error, globex};
use crate::memory::{Memories, MemoryId, MemoryStore, Namespace, NewMemory, Recall, Recalled};

type Store = Arc<dyn MemoryStore>;

/// The suite of [`MemoryStore`].
pub const MEMORY_STORE: &[Check<dyn MemoryStore>] = &[
    ("what_is_stored_is_what_was_given", |store| Box::pin(what_is_stored_is_what_was_given(store))),
    ("a_text_is_there_once", |store| Box::pin(a_text_is_there_once(store))),
    ("found_by_its_words", |store| Box::pin(found_by_its_words(store))),
    ("found_by_its_meaning", |store| Box::pin(found_by_its_meaning(store))),
    ("namespaces_and_tenants_are_kept_apart", |store| Box::pin(kept_apart(store))),
    ("forgotten_is_gone", |store| Box::pin(forgotten_is_gone(store))),
    ("bad_input_is_named", |store| Box::pin(bad_input_is_named(store))),
    ("dropped_calls_are_whole_or_nothing", |store| Box::pin(dropped_calls(store))),
];

/// An embedder whose vectors count letters: texts of like letters are near each other.
#[derive(Debug, Default)]
pub struct Letters {
    /// Whether it fails.
    pub broken: AtomicBool,
}

#[async_trait]
impl Embedder for Letters {
    async fn embed(&self, _: &Scope, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(Error::unavailable("letters.embed", "broken on purpose"));
        }
        let embed = |text: &&str| {
            let count = |letter| text.to_lowercase().chars().filter(|c| *c == letter).count() as f32;
            let vector: Vec<f32> = ('a'..='z').map(count).collect();
            let norm = vector.iter().map(|n| n * n).sum::<f32>().sqrt().max(1.0);
            vector.into_iter().map(|n| n / norm).collect()
        };
        Ok(texts.iter().map(embed).collect())
    }
    fn model(&self) -> &str {
        "letters"
    }
    fn dimensions(&self) -> usize {
        26
    }
}

fn new(namespace: &str, text: &str) -> Result<NewMemory> {
    Ok(NewMemory { namespace: Namespace::parse(namespace)?, text: text.to_owned(), metadata: Map::new() })
}

async fn recall(memories: &Memories, scope: &Scope, namespace: &str, query: &str) -> Result<Recalled> {
    let recall = Recall { namespace: Namespace::parse(namespace)?, query: query.to_owned(), limit: 10 };
    memories.recall(scope, &recall).await
}

fn texts(recalled: &Recalled) -> Vec<&str> {
    recalled.items.iter().map(|hit| hit.memory.text.as_str()).collect()
}

async fn what_is_stored_is_what_was_given(store: Store) -> Outcome {
    let scope = acme()?;
    let mut given = new("user/ü 1", "Ünïcode 😀 'quotes' \"both\" %_\\ text")?;
    given.metadata = object(json!({"source": {"n": 1}}));
    let stored = store.put(&scope, given.clone(), Some(("m", &[0.5, -1.0]))).await?;
    ensure(stored.new, "a new memory is not new")?;
    let memory = &stored.memory;
    ensure_eq(
        (&memory.namespace, &memory.text, &memory.metadata),
        (&given.namespace, &given.text, &given.metadata),
        "it",
    )?;
    ensure_eq(memory.author.as_str(), scope.principal().id.as_str(), "its author")?;
    let read = store.get(&scope, &[memory.id, MemoryId::generate()]).await?;
    ensure_eq(&read, &vec![memory.clone()], "what get answers")?;
    let same = store.same(&scope, &given.namespace, &given.text).await?;
    ensure_eq(same.as_ref(), Some(memory), "what same answers")?;
    let vectors = store.vectors(&scope, &given.namespace, "m").await?;
    ensure_eq(
        vectors.iter().map(|v| (v.id, v.numbers.clone())).collect(),
        vec![(memory.id, vec![0.5, -1.0])],
        "vectors",
    )?;
    ensure_eq(store.vectors(&scope, &given.namespace, "other").await?, vec![], "vectors of another model")
}

async fn a_text_is_there_once(store: Store) -> Outcome {
    let scope = acme()?;
    let puts =
        join_all((0..8).map(|_| async { store.put(&scope, new("user/u", "the same")?, None).await })).await;
    let puts = puts.into_iter().collect::<Result<Vec<_>>>()?;
    ensure_eq(puts.iter().filter(|put| put.new).count(), 1, "how many are new")?;
    ensure(puts.iter().all(|put| put.memory == puts[0].memory), "tries made different memories")?;
    ensure(store.put(&scope, new("user/v", "the same")?, None).await?.new, "another namespace has the text")
}

async fn found_by_its_words(store: Store) -> Outcome {
    let scope = acme()?;
    let memories = Memories::new(store, None);
    for text in
        ["Prefers WINDOW seats", "The window is broken, the window leaks", "Likes tea", "Trains are fun"]
    {
        memories.remember(&scope, new("user/u", text)?).await?;
    }
    let found = recall(&memories, &scope, "user/u", "window, seats?").await?;
    ensure_eq(texts(&found).first().copied(), Some("Prefers WINDOW seats"), "what holds both words")?;
    ensure_eq(found.items.len(), 2, "what holds one of them")?;
    ensure(
        !found.semantic && found.note.is_some(),
        "the answer does not say that words alone were compared",
    )?;
    ensure(found.items.windows(2).all(|pair| pair[0].score >= pair[1].score), "scores do not fall")?;
    for query in ["nothing-of-this", "!!!", "\"", "' | '", "a* OR NEAR("] {
        let found = recall(&memories, &scope, "user/u", query).await?;
        ensure(found.items.is_empty(), format!("{query} found {:?}", texts(&found)))?;
    }
    Ok(())
}

async fn found_by_its_meaning(store: Store) -> Outcome {
    let scope = acme()?;
    let embedder = Arc::new(Letters::default());
    let memories = Memories::new(store, Some(embedder.clone()));
    for text in ["zzz zzz", "abab", "qqq"] {
        memories.remember(&scope, new("user/u", text)?).await?;
    }
    embedder.broken.store(true, Ordering::SeqCst);
    memories.remember(&scope, new("user/u", "kept without a vector")?).await?;
    let by_words = recall(&memories, &scope, "user/u", "vector").await?;
    ensure_eq(texts(&by_words), vec!["kept without a vector"], "recalled while the embedder fails")?;
    ensure(!by_words.semantic && by_words.note.is_some(), "a failing embedder is not told of")?;
    embedder.broken.store(false, Ordering::SeqCst);
    let found = recall(&memories, &scope, "user/u", "baba").await?;
    ensure(found.semantic && found.note.is_none(), "meanings were not compared")?;
    ensure_eq(texts(&found).first().copied(), Some("abab"), "the nearest in meaning, which shares no word")
}

async fn kept_apart(store: Store) -> Outcome {
    let (acme, globex) = (acme()?, globex()?);
    let memories = Memories::new(store.clone(), Some(Arc::new(Letters::default())));
    let theirs = memories.remember(&acme, new("user/u", "secret plan")?).await?.memory;
    for (scope, namespace) in [(&globex, "user/u"), (&acme, "user/v"), (&acme, "agent/u")] {
        let found = recall(&memories, scope, namespace, "secret plan").await?;
        ensure(found.items.is_empty(), format!("found in {namespace} of {}: {found:?}", scope.tenant()))?;
    }
    ensure_eq(store.get(&globex, &[theirs.id]).await?, vec![], "another's memory by its id")?;
    let of = |id| store.forget(&globex, id);
    let unknown = MemoryId::generate();
    let one = ensure_error(of(&theirs.id).await, ErrorKind::NotFound, "forgetting another's")?;
    let other = ensure_error(of(&unknown).await, ErrorKind::NotFound, "forgetting what never was")?;
    ensure_eq(one.to_string(), other.to_string(), "the words for another's and for none")?;
    ensure_eq(store.get(&acme, &[theirs.id]).await?, vec![theirs], "what is left")
}

async fn forgotten_is_gone(store: Store) -> Outcome {
    let scope = acme()?;
    let memories = Memories::new(store.clone(), Some(Arc::new(Letters::default())));
    let memory = memories.remember(&scope, new("session/s", "a word")?).await?.memory;
    memories.forget(&scope, &memory.id).await?;
    let found = recall(&memories, &scope, "session/s", "a word").await?;
    ensure(found.items.is_empty(), "what is forgotten is recalled")?;
    ensure_eq(store.vectors(&scope, &memory.namespace, "letters").await?, vec![], "its vector")?;
    ensure_error(memories.forget(&scope, &memory.id).await, ErrorKind::NotFound, "forgetting it again")?;
    ensure(memories.remember(&scope, new("session/s", "a word")?).await?.new, "it cannot be remembered again")
}

async fn bad_input_is_named(store: Store) -> Outcome {
    let scope = acme()?;
    let large = "x".repeat(8 * 1024 + 1);
    for (text, kind) in [
        ("", ErrorKind::InvalidInput),
        (" \n", ErrorKind::InvalidInput),
        ("a\0b", ErrorKind::InvalidInput),
        (&large, ErrorKind::TooLarge),
    ] {
        let error = ensure_error(store.put(&scope, new("user/u", text)?, None).await, kind, text)?;
        let named = error.details().iter().any(|d| matches!(d, Detail::Field { path, .. } if path == "text"));
        ensure(named, format!("the field is not named: {error:?}"))?;
    }
    let memories = Memories::new(store, None);
    let namespace = Namespace::parse("user/u")?;
    for (query, limit) in [("", 10), ("x", 0), ("x", 101)] {
        let recall = Recall { namespace: namespace.clone(), query: query.into(), limit };
        ensure_error(memories.recall(&scope, &recall).await, ErrorKind::InvalidInput, "a bad question")?;
    }
    for text in ["", "user", "user/", "team/x", "user/a\nb"] {
        ensure_error(Namespace::parse(text), ErrorKind::InvalidInput, text)?;
    }
    Ok(())
}

async fn dropped_calls(store: Store) -> Outcome {
    let scope = acme()?;
    for polls in 1..200 {
        let text = format!("text {polls}");
        let vector: Option<(&str, &[f32])> = Some(("m", &[1.0]));
        let cut = cancel_at(polls, store.put(&scope, new("user/u", &text)?, vector)).await;
        let memory = store.put(&scope, new("user/u", &text)?, vector).await?.memory;
        ensure_eq(
            store.get(&scope, &[memory.id]).await?,
            vec![memory.clone()],
            "the memory after a dropped call",
        )?;
        let vectors = store.vectors(&scope, &memory.namespace, "m").await?;
        ensure_eq(vectors.len(), polls, "vectors after a dropped call")?;
        if matches!(cut, Cut::Completed(_)) {
            return Ok(());
        }
    }
    Err("no call was long enough to finish".to_owned().into())
}
