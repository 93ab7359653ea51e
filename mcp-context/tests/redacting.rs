//! What a redactor wants gone reaches neither contexts nor memories.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not test functions")]

use std::{
    borrow::Cow,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use mcp_context::{
    conformance::{self, CONTEXT_STORE, ContextHarness},
    context::{
        Append, Content, ContextStore, MemoryContextStore, NewContext, NewMessage, Part,
        RedactingContextStore, Role,
    },
    memory::{Memories, Namespace, NewMemory, Recall, ReferenceMemoryStore},
    vector::{LocalConfig, LocalVectorIndex},
};
use mcp_core::{
    Error, ErrorKind, Result, Scope,
    conformance::scope_of,
    embed::Embedder,
    error::Detail,
    redact::{PiiKind, PiiSpan, Placeholders, Redacted, Redactor},
};
use serde_json::{Map, Value, json};

const ADDRESS: &str = "ada@example.com";
const CARD: &str = "4111 1111 1111 1111";

/// Masks one address and refuses one card.
#[derive(Debug)]
struct Strict;

impl Strict {
    fn changed(text: &str) -> Result<Option<String>> {
        if text.contains(CARD) {
            return Err(Error::invalid_input("test.redact", "the text holds a card"));
        }
        Ok(text.contains(ADDRESS).then(|| text.replace(ADDRESS, "[email]")))
    }

    fn value(value: &mut Value) -> Result<()> {
        match value {
            Value::String(text) => {
                if let Some(changed) = Self::changed(text)? {
                    *text = changed;
                }
            }
            Value::Array(values) => values.iter_mut().try_for_each(Self::value)?,
            Value::Object(fields) => fields.values_mut().try_for_each(Self::value)?,
            _ => {}
        }
        Ok(())
    }
}

impl Redactor for Strict {
    fn redact<'t>(&self, _: &Scope, text: &'t str) -> Result<Redacted<'t>> {
        let span = PiiSpan { kind: PiiKind::Email, start: 0, end: text.len() };
        Ok(match Self::changed(text)? {
            None => Redacted { text: Cow::Borrowed(text), spans: Vec::new() },
            Some(text) => Redacted { text: Cow::Owned(text), spans: vec![span] },
        })
    }
    fn redact_json<'t>(&self, scope: &Scope, json: &'t str) -> Result<Redacted<'t>> {
        self.redact(scope, json)
    }
    fn redact_value(&self, _: &Scope, value: &mut Value) -> Result<Vec<PiiKind>> {
        Self::value(value).map(|()| Vec::new())
    }
    fn redact_reversibly<'t>(
        &self,
        scope: &Scope,
        text: &'t str,
        _: &mut Placeholders,
    ) -> Result<Redacted<'t>> {
        self.redact(scope, text)
    }
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn of_contexts() -> (RedactingContextStore, MemoryContextStore) {
    let inner = MemoryContextStore::default();
    (RedactingContextStore::new(Arc::new(inner.clone()), Arc::new(Strict)), inner)
}

/// Whether the error names the field, and not what it holds.
fn names(error: &Error, field: &str) -> bool {
    let named = error.details().iter().any(|d| matches!(d, Detail::Field { path, .. } if path == field));
    named && error.kind() == ErrorKind::InvalidInput && !error.report().contains("4111")
}

#[tokio::test]
async fn a_redacting_store_keeps_the_promises_of_a_store() {
    let report = conformance::run(CONTEXT_STORE, async || {
        let (store, inner) = of_contexts();
        let events = move |scope| {
            let events = inner.events(&scope);
            Box::pin(async { Ok(events) }) as _
        };
        Arc::new(ContextHarness { store: Arc::new(store), events: Box::new(events) })
    });
    if let Some(failures) = report.await.failures() {
        panic!("{failures}");
    }
}

#[tokio::test]
async fn nothing_that_is_stored_of_a_context_holds_what_is_masked() {
    let ((store, inner), scope) = (of_contexts(), scope_of("acme").unwrap());
    let data = object(json!({ "mail": ADDRESS, "nested": [{ "also": format!("to {ADDRESS}") }], "n": 7 }));
    let made = store.create(&scope, NewContext { data, ..NewContext::default() }).await.unwrap();
    assert_eq!(made.data, object(json!({ "mail": "[email]", "nested": [{ "also": "to [email]" }], "n": 7 })));
    let said = json!({ "to": ADDRESS });
    let parts = vec![
        Part::Text { text: format!("Write to {ADDRESS}.") },
        Part::Json { json: said.clone() },
        // What a call and its result find each other by stays.
        Part::ToolCall { id: format!("call-{ADDRESS}"), name: "send".into(), arguments: said.clone() },
        Part::ToolResult { id: format!("call-{ADDRESS}"), result: said.clone(), is_error: false },
    ];
    let large = NewMessage::text(Role::User, &format!("{} {ADDRESS}", "long ".repeat(8_000)));
    let message = NewMessage { role: Role::Tool, content: Content(parts), metadata: object(said) };
    for messages in [vec![message], vec![large]] {
        store.append(&scope, &made.head.id, Append { messages, ..Append::default() }).await.unwrap();
    }
    let patch = object(json!({ "mail": null, "other": ADDRESS }));
    let patched = store.patch(&scope, &made.head.id, patch, 3).await.unwrap();
    assert_eq!((patched.data.get("mail"), &patched.data["other"]), (None, &json!("[email]")));

    let read = inner.read(&scope, &made.head.id, 10).await.unwrap();
    let said = serde_json::to_string(&read).unwrap().replace(&format!("call-{ADDRESS}"), "call");
    assert!(!said.contains(ADDRESS), "{said}");
    assert_eq!(said.matches("[email]").count(), 8, "{said}");
    let events = serde_json::to_string(&inner.events(&scope)).unwrap();
    assert!(events.contains("[email]") && !events.contains(ADDRESS), "{events}");
}

#[tokio::test]
async fn what_is_refused_is_not_stored_and_the_error_names_its_field() {
    let ((store, inner), scope) = (of_contexts(), scope_of("acme").unwrap());
    let held = object(json!({ "card": CARD }));
    let refused = store.create(&scope, NewContext { data: held.clone(), ..NewContext::default() }).await;
    assert!(names(&refused.unwrap_err(), "data"));
    let made = store.create(&scope, NewContext::default()).await.unwrap();
    let (id, events) = (made.head.id, inner.events(&scope).len());
    let refused = store.patch(&scope, &id, held.clone(), 1).await;
    assert!(names(&refused.unwrap_err(), "data"));
    let fine = NewMessage::text(Role::User, "hi");
    for (bad, field) in [
        (NewMessage::text(Role::User, CARD), "messages/1/content"),
        (NewMessage { metadata: held, ..fine.clone() }, "messages/1/metadata"),
        (NewMessage::text(Role::User, &format!("{CARD} {}", "x".repeat(20_000))), "messages/1/content"),
    ] {
        let messages = vec![fine.clone(), bad];
        let refused = store.append(&scope, &id, Append { messages, ..Append::default() }).await;
        assert!(names(&refused.unwrap_err(), field), "{field}");
    }
    assert_eq!(inner.read(&scope, &id, 10).await.unwrap(), made);
    assert_eq!(inner.events(&scope).len(), events);
}

/// An embedder that notes what it is given.
#[derive(Debug, Default)]
struct Listening(Mutex<Vec<String>>);

#[async_trait]
impl Embedder for Listening {
    async fn embed(&self, _: &Scope, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        self.0.lock().unwrap().extend(texts.iter().map(|text| (*text).to_owned()));
        Ok(texts.iter().map(|_| vec![1.0, 0.0]).collect())
    }
    fn model(&self) -> &str {
        "listening"
    }
    fn dimensions(&self) -> usize {
        2
    }
}

#[tokio::test]
async fn memories_and_what_recalls_them_are_redacted_before_a_model_or_a_store_sees_them() {
    let (embedder, scope) = (Arc::new(Listening::default()), scope_of("acme").unwrap());
    let store = Arc::new(ReferenceMemoryStore::default());
    let index = LocalVectorIndex::exact(LocalConfig::default()).unwrap();
    let memories =
        Memories::new(store, Some(embedder.clone()), Arc::new(index)).with_redactor(Arc::new(Strict));
    let namespace = Namespace::parse("user/u").unwrap();
    let new = |text: &str, metadata: Value| NewMemory {
        namespace: namespace.clone(),
        text: text.to_owned(),
        metadata: object(metadata),
    };
    let first = new(&format!("Writes from {ADDRESS}"), json!({ "from": ADDRESS }));
    let stored = memories.remember(&scope, first.clone()).await.unwrap();
    assert_eq!(stored.memory.text, "Writes from [email]");
    assert_eq!(stored.memory.metadata, object(json!({ "from": "[email]" })));
    assert!(!memories.remember(&scope, first).await.unwrap().new, "the same text is remembered twice");
    let asked = |query: &str| Recall { namespace: namespace.clone(), query: query.to_owned(), limit: 10 };
    let recalled = memories.recall(&scope, &asked(&format!("who is {ADDRESS}?"))).await.unwrap();
    assert_eq!(recalled.items[0].memory, stored.memory);
    assert_eq!(*embedder.0.lock().unwrap(), ["Writes from [email]", "who is [email]?"]);

    let refused = memories.remember(&scope, new(CARD, json!({}))).await.unwrap_err();
    assert!(names(&refused, "text"), "{refused:?}");
    let refused = memories.remember(&scope, new("fine", json!({ "card": CARD }))).await.unwrap_err();
    assert!(names(&refused, "metadata"), "{refused:?}");
    let refused = memories.recall(&scope, &asked(CARD)).await.unwrap_err();
    assert!(names(&refused, "query"), "{refused:?}");
    assert_eq!(memories.recall(&scope, &asked("fine")).await.unwrap().items.len(), 1);
}
