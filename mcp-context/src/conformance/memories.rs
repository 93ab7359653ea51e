//! The promises of [`MemoryStore`] and of [`Memories`] above it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use futures_util::future::{BoxFuture, join_all};
use mcp_core::{
    Error, ErrorKind, Result, Scope,
    conformance::{Cut, Outcome, cancel_at},
    embed::Embedder,
    error::Detail,
    event::Event,
};
use serde_json::{Map, json};

use super::{Check, acme, contexts::object, ensure, ensure_eq, ensure_error, following, globex, ranking};
use crate::{
    memory::{Memories, MemoryId, MemoryStore, Namespace, NewMemory, Recall, Recalled},
    vector::VectorIndex,
};

/// What the changes of a tenant's memories left in its logs, oldest first.
#[derive(Debug, Default)]
pub struct MemoryLog {
    /// Committed events.
    pub events: Vec<Event>,
    /// Actions and resources of audit records.
    pub audited: Vec<(String, String)>,
}

/// Reads a tenant's logs.
pub type MemoryLogs = dyn Fn(Scope) -> BoxFuture<'static, Result<MemoryLog>> + Send + Sync;

/// A store under test, the index above it, and a look at its logs from outside.
pub struct MemoryHarness {
    /// The store.
    pub store: Arc<dyn MemoryStore>,
    /// Makes an index, as another replica has it: empty.
    pub index: fn() -> Arc<dyn VectorIndex>,
    /// What the store has logged.
    pub logs: Box<MemoryLogs>,
}

impl fmt::Debug for MemoryHarness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryHarness").field("store", &self.store).finish_non_exhaustive()
    }
}

impl MemoryHarness {
    /// Semantic memory above the store, as a replica of its own with that embedder.
    pub(super) fn memories(&self, embedder: Option<Arc<dyn Embedder>>) -> Memories {
        Memories::new(Arc::clone(&self.store), embedder, (self.index)())
    }

    pub(super) fn with_letters(&self) -> Memories {
        self.memories(Some(Arc::new(Letters::default())))
    }
}

pub(super) type Harness = Arc<MemoryHarness>;

/// The suite of [`MemoryStore`].
pub const MEMORY_STORE: &[Check<MemoryHarness>] = &[
    ("what_is_stored_is_what_was_given", |h| Box::pin(what_is_stored_is_what_was_given(h))),
    ("a_text_is_there_once", |h| Box::pin(a_text_is_there_once(h))),
    ("found_by_its_words", |h| Box::pin(found_by_its_words(h))),
    ("rarer_words_and_shorter_texts_come_first", |h| Box::pin(ranking::rarer_and_shorter_first(h))),
    ("nobody_elses_words_count", |h| Box::pin(ranking::nobody_elses_words_count(h))),
    ("found_by_its_meaning", |h| Box::pin(found_by_its_meaning(h))),
    ("versions_tell_of_every_change", |h| Box::pin(following::versions_tell_of_every_change(h))),
    ("vectors_are_paged_newest_first", |h| Box::pin(following::vectors_are_paged_newest_first(h))),
    ("writers_at_once_lose_no_version", |h| Box::pin(following::writers_at_once_lose_no_version(h))),
    ("other_replicas_changes_are_found", |h| Box::pin(following::other_replicas_changes_are_found(h))),
    ("one_change_one_event", |h| Box::pin(one_change_one_event(h))),
    ("namespaces_and_tenants_are_kept_apart", |h| Box::pin(kept_apart(h))),
    ("forgotten_is_gone", |h| Box::pin(forgotten_is_gone(h))),
    ("bad_input_is_named", |h| Box::pin(bad_input_is_named(h))),
    ("dropped_calls_are_whole_or_nothing", |h| Box::pin(dropped_calls(h))),
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

pub(super) fn new(namespace: &str, text: &str) -> Result<NewMemory> {
    Ok(NewMemory { namespace: Namespace::parse(namespace)?, text: text.to_owned(), metadata: Map::new() })
}

pub(super) async fn recall(
    memories: &Memories,
    scope: &Scope,
    namespace: &str,
    query: &str,
) -> Result<Recalled> {
    let recall = Recall { namespace: Namespace::parse(namespace)?, query: query.to_owned(), limit: 10 };
    memories.recall(scope, &recall).await
}

pub(super) fn texts(recalled: &Recalled) -> Vec<&str> {
    recalled.items.iter().map(|hit| hit.memory.text.as_str()).collect()
}

async fn what_is_stored_is_what_was_given(h: Harness) -> Outcome {
    let scope = acme()?;
    let mut given = new("user/ü 1", "Ünïcode 😀 'quotes' \"both\" %_\\ text")?;
    given.metadata = object(json!({"source": {"n": 1}}));
    let store = &h.store;
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
    let vectors = store.vectors(&scope, &given.namespace, "m", None, 10).await?;
    ensure_eq(
        vectors.iter().map(|v| (v.id, v.numbers.clone())).collect(),
        vec![(memory.id, vec![0.5, -1.0])],
        "vectors",
    )?;
    let others = store.vectors(&scope, &given.namespace, "other", None, 10).await?;
    ensure_eq(others, vec![], "vectors of another model")
}

async fn a_text_is_there_once(h: Harness) -> Outcome {
    let scope = acme()?;
    let store = &h.store;
    let puts =
        join_all((0..8).map(|_| async { store.put(&scope, new("user/u", "the same")?, None).await })).await;
    let puts = puts.into_iter().collect::<Result<Vec<_>>>()?;
    ensure_eq(puts.iter().filter(|put| put.new).count(), 1, "how many are new")?;
    ensure(puts.iter().all(|put| put.memory == puts[0].memory), "tries made different memories")?;
    ensure(store.put(&scope, new("user/v", "the same")?, None).await?.new, "another namespace has the text")
}

async fn found_by_its_words(h: Harness) -> Outcome {
    let scope = acme()?;
    let memories = h.memories(None);
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

async fn found_by_its_meaning(h: Harness) -> Outcome {
    let scope = acme()?;
    let embedder = Arc::new(Letters::default());
    let memories = h.memories(Some(embedder.clone()));
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

async fn one_change_one_event(h: Harness) -> Outcome {
    let scope = acme()?;
    let of = |scope: Scope| (h.logs)(scope);
    let memory = h.store.put(&scope, new("user/u 1", "Likes tea")?, None).await?.memory;
    h.store.put(&scope, new("user/u 1", "Likes tea")?, None).await?;
    ensure_eq(of(scope.clone()).await?.audited, vec![], "audit records of what is only remembered")?;
    h.store.forget(&scope, &memory.id).await?;
    ensure_error(h.store.forget(&scope, &memory.id).await, ErrorKind::NotFound, "forgetting it again")?;
    let log = of(scope.clone()).await?;
    let subject = format!("acme/{}", memory.id);
    let told: Vec<_> = log
        .events
        .iter()
        .map(|event| json!([event.kind(), event.subject(), event.source(), event.data()]))
        .collect();
    let expected = |done: &str| {
        let data = json!({
            "tenantId": "acme", "memoryId": memory.id, "namespace": "user/u 1", "operation": done,
        });
        json!([format!("com.mcp.tenant.memory.{done}"), subject, "context-service", data])
    };
    ensure_eq(told, vec![expected("remembered"), expected("forgotten")], "the events")?;
    ensure(!format!("{:?}", log.events).contains("tea"), "an event holds what the text says")?;
    let audited = ("memory.forget".to_owned(), format!("memory/{}", memory.id));
    ensure_eq(log.audited, vec![audited], "the audit records")?;
    let other = of(globex()?).await?;
    ensure_eq((other.events.len(), other.audited.len()), (0, 0), "what another tenant's logs hold")
}

async fn kept_apart(h: Harness) -> Outcome {
    let (acme, globex) = (acme()?, globex()?);
    let (store, memories) = (&h.store, h.with_letters());
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

async fn forgotten_is_gone(h: Harness) -> Outcome {
    let scope = acme()?;
    let (store, memories) = (&h.store, h.with_letters());
    let memory = memories.remember(&scope, new("session/s", "a word")?).await?.memory;
    // So that the index knows it too.
    let found = recall(&memories, &scope, "session/s", "drow a").await?;
    ensure_eq(found.items.len(), 1, "what is there before it is forgotten")?;
    memories.forget(&scope, &memory.id).await?;
    let found = recall(&memories, &scope, "session/s", "a word").await?;
    ensure(found.items.is_empty(), "what is forgotten is recalled")?;
    let vectors = store.vectors(&scope, &memory.namespace, "letters", None, 10).await?;
    ensure_eq(vectors, vec![], "its vector")?;
    ensure_error(memories.forget(&scope, &memory.id).await, ErrorKind::NotFound, "forgetting it again")?;
    ensure(memories.remember(&scope, new("session/s", "a word")?).await?.new, "it cannot be remembered again")
}

async fn bad_input_is_named(h: Harness) -> Outcome {
    let scope = acme()?;
    let large = "x".repeat(8 * 1024 + 1);
    for (text, kind) in [
        ("", ErrorKind::InvalidInput),
        (" \n", ErrorKind::InvalidInput),
        ("a\0b", ErrorKind::InvalidInput),
        (&large, ErrorKind::TooLarge),
    ] {
        let error = ensure_error(h.store.put(&scope, new("user/u", text)?, None).await, kind, text)?;
        let named = error.details().iter().any(|d| matches!(d, Detail::Field { path, .. } if path == "text"));
        ensure(named, format!("the field is not named: {error:?}"))?;
    }
    for odd in [&[][..], &[f32::NAN, 1.0], &[1.0, f32::INFINITY]] {
        let put = h.store.put(&scope, new("user/u", "odd")?, Some(("m", odd))).await;
        ensure_error(put, ErrorKind::InvalidInput, "a vector that is none")?;
    }
    let memories = h.memories(None);
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

async fn dropped_calls(h: Harness) -> Outcome {
    let scope = acme()?;
    let store = &h.store;
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
        let vectors = store.vectors(&scope, &memory.namespace, "m", None, 1000).await?;
        ensure_eq(vectors.len(), polls, "vectors after a dropped call")?;
        ensure_eq((h.logs)(scope.clone()).await?.events.len(), polls, "events after a dropped call")?;
        let version = store.version(&scope, &memory.namespace).await?;
        ensure_eq(version, polls as i64, "the version after a dropped call")?;
        if matches!(cut, Cut::Completed(_)) {
            return Ok(());
        }
    }
    Err("no call was long enough to finish".to_owned().into())
}
