//! The promises of [`ContextStore`].

use std::{fmt, sync::Arc};

use futures_util::future::BoxFuture;
use mcp_core::{ErrorKind, Result, Scope, error::Detail, event::Event};
use serde_json::{Map, Value, json};

use super::{Check, Outcome, acme, ensure, ensure_eq, ensure_error, globex, races};
use crate::context::{
    Append, Content, Context, ContextId, ContextQuery, ContextStore, MessageQuery, NewContext, NewMessage,
    Part, Role,
};

/// Reads a tenant's committed events, oldest first.
pub type Events = dyn Fn(Scope) -> BoxFuture<'static, Result<Vec<Event>>> + Send + Sync;

/// A store under test, and a look at its events from outside.
pub struct ContextHarness {
    /// The store.
    pub store: Arc<dyn ContextStore>,
    /// The events it has committed.
    pub events: Box<Events>,
}

impl fmt::Debug for ContextHarness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContextHarness").field("store", &self.store).finish_non_exhaustive()
    }
}

type Harness = Arc<ContextHarness>;

/// The suite of [`ContextStore`].
pub const CONTEXT_STORE: &[Check<ContextHarness>] = &[
    ("what_is_stored_is_what_was_given", |h| Box::pin(what_is_stored_is_what_was_given(h))),
    ("nothing_lost_nothing_twice", |h| Box::pin(races::nothing_lost_nothing_twice(h))),
    ("no_lost_update", |h| Box::pin(races::no_lost_update(h))),
    ("trying_again_is_safe", |h| Box::pin(races::trying_again_is_safe(h))),
    ("at_most_so_many", |h| Box::pin(races::at_most_so_many(h))),
    ("dropped_calls_are_whole_or_nothing", |h| Box::pin(races::dropped_calls_are_whole_or_nothing(h))),
    ("tenants_are_kept_apart", |h| Box::pin(tenants_are_kept_apart(h))),
    ("lists_are_complete_and_in_order", |h| Box::pin(lists_are_complete_and_in_order(h))),
    ("messages_are_paged_both_ways", |h| Box::pin(messages_are_paged_both_ways(h))),
    ("patches_merge", |h| Box::pin(patches_merge(h))),
    ("one_change_one_event", |h| Box::pin(one_change_one_event(h))),
    ("deleted_is_gone", |h| Box::pin(deleted_is_gone(h))),
    ("bad_input_changes_nothing", |h| Box::pin(bad_input_changes_nothing(h))),
];

pub(super) fn object(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

pub(super) fn says(text: &str) -> Append {
    Append { messages: vec![NewMessage::text(Role::User, text)], ..Append::default() }
}

pub(super) async fn new(harness: &ContextHarness, scope: &Scope) -> Result<Context> {
    harness.store.create(scope, NewContext::default()).await
}

async fn what_is_stored_is_what_was_given(h: Harness) -> Outcome {
    let scope = acme()?;
    let data = object(json!({"user_preferences": {"ü 😀": [1, 2.5, null, "\\u0000 %_'\""]}, "n": i64::MIN}));
    let given = NewContext {
        user_id: Some("user-789".into()),
        session_id: Some("s-1".into()),
        data: data.clone(),
        ..NewContext::default()
    };
    let made = h.store.create(&scope, given).await?;
    ensure_eq((made.head.version, made.head.messages), (1, 0), "version and messages of a new context")?;
    let whose = (made.head.user_id.as_str(), made.head.session_id.as_deref());
    ensure_eq(whose, ("user-789", Some("s-1")), "whose it is")?;
    ensure_eq(h.store.read(&scope, &made.head.id, 10).await?, made.clone(), "what read answers")?;
    let own = new(&h, &scope).await?;
    ensure_eq(own.head.user_id.as_str(), scope.principal().id.as_str(), "the default user")?;

    let parts = vec![
        Part::Text { text: "2 + 2?\n'; DROP TABLE message; --".into() },
        Part::Json { json: json!({"a": [true, {}]}) },
        Part::ToolCall { id: "c1".into(), name: "add".into(), arguments: json!({"a": 2, "b": 2}) },
        Part::ToolResult { id: "c1".into(), result: json!(4), is_error: false },
    ];
    let metadata = object(json!({"tokens": 7}));
    let message = NewMessage { role: Role::Assistant, content: Content(parts), metadata };
    let append = Append { messages: vec![message.clone()], ..says("") };
    let appended = h.store.append(&scope, &made.head.id, append).await?;
    ensure_eq((appended.version, appended.first_seq, appended.last_seq), (2, 1, 1), "what append answers")?;
    let read = h.store.read(&scope, &made.head.id, 10).await?;
    ensure_eq(&read.data, &data, "the data after an append")?;
    ensure_eq((read.head.version, read.head.messages), (2, 1), "version and messages after an append")?;
    let stored = read.history.unwrap_or_default();
    let [stored] = stored.as_slice() else {
        return Err(format!("there are {} messages instead of 1", stored.len()).into());
    };
    let got = (stored.role, &stored.content, &stored.metadata, stored.author.as_str());
    let principal = scope.principal().id.as_str();
    ensure_eq(got, (message.role, &message.content, &message.metadata, principal), "the message")
}

async fn tenants_are_kept_apart(h: Harness) -> Outcome {
    let (acme, globex) = (acme()?, globex()?);
    let key = || Some("k".to_owned());
    let of = |scope: &Scope| (scope.clone(), NewContext { idempotency_key: key(), ..NewContext::default() });
    let (scope, context) = of(&acme);
    let theirs = h.store.create(&scope, context).await?.head.id;
    h.store.append(&acme, &theirs, says("secret")).await?;
    let unknown = ContextId::generate();
    let mut told = Vec::new();
    for id in [theirs, unknown] {
        let query = MessageQuery::default();
        let texts = [
            ensure_error(h.store.read(&globex, &id, 1).await, ErrorKind::NotFound, "another's context")?,
            ensure_error(h.store.messages(&globex, &id, &query).await, ErrorKind::NotFound, "its messages")?,
            ensure_error(h.store.append(&globex, &id, says("x")).await, ErrorKind::NotFound, "an append")?,
            ensure_error(h.store.patch(&globex, &id, Map::new(), 2).await, ErrorKind::NotFound, "a patch")?,
            ensure_error(h.store.delete(&globex, &id, None).await, ErrorKind::NotFound, "a deletion")?,
        ];
        told.push(texts.map(|error| (error.to_string(), error.details().to_vec())));
    }
    ensure(told[0] == told[1], format!("another's context is told from none: {told:?}"))?;
    ensure_eq(h.store.list(&globex, &ContextQuery::default()).await?.items, vec![], "the other's list")?;
    ensure_eq((h.events)(globex.clone()).await?.len(), 0, "the other's events")?;
    let (scope, context) = of(&globex);
    let own = h.store.create(&scope, context).await?;
    ensure(own.head.id != theirs, "another's idempotency key answered with another's context")?;
    ensure_eq(own.head.tenant.as_str(), "globex", "whose the context is")?;
    let read = h.store.read(&acme, &theirs, 9).await?;
    ensure_eq((read.head.version, read.head.messages), (2, 1), "what is left of the first tenant's")
}

async fn lists_are_complete_and_in_order(h: Harness) -> Outcome {
    let scope = acme()?;
    let mut made = Vec::new();
    for n in 0..7 {
        let user_id = Some(format!("u{}", n % 2));
        let session_id = (n % 3 == 0).then(|| "s".to_owned());
        let context = NewContext { user_id, session_id, ..NewContext::default() };
        made.push(h.store.create(&scope, context).await?.head);
    }
    made.reverse();
    let mut query = ContextQuery { limit: 3, ..ContextQuery::default() };
    let mut seen = Vec::new();
    loop {
        let page = h.store.list(&scope, &query).await?;
        ensure(page.items.len() <= 3, format!("a page of 3 has {} entries", page.items.len()))?;
        seen.extend(page.items);
        // What comes while a list is read must not shift what is left of it.
        new(&h, &scope).await?;
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            break;
        }
    }
    ensure_eq(&seen, &made, "all pages of the list")?;
    let filters = [(Some("u1"), None), (None, Some("s")), (Some("u0"), Some("s")), (Some("nobody"), None)];
    for (user, session) in filters {
        let (user_id, session_id) = (user.map(str::to_owned), session.map(str::to_owned));
        let query = ContextQuery { user_id, session_id, ..ContextQuery::default() };
        let wanted: Vec<_> = made
            .iter()
            .filter(|head| user.is_none_or(|user| head.user_id == user))
            .filter(|head| session.is_none_or(|session| head.session_id.as_deref() == Some(session)))
            .cloned()
            .collect();
        let found = h.store.list(&scope, &query).await?.items;
        ensure_eq(found, wanted, &format!("those of {user:?} in {session:?}"))?;
    }
    let wrong = ContextQuery { cursor: Some("'; --".into()), ..ContextQuery::default() };
    ensure_error(h.store.list(&scope, &wrong).await, ErrorKind::InvalidInput, "a cursor that is none")
        .map(drop)
}

async fn messages_are_paged_both_ways(h: Harness) -> Outcome {
    let scope = acme()?;
    let id = new(&h, &scope).await?.head.id;
    let messages = (1..=7).map(|n| NewMessage::text(Role::User, &n.to_string())).collect();
    h.store.append(&scope, &id, Append { messages, ..Append::default() }).await?;
    for newest_first in [false, true] {
        let mut query = MessageQuery { limit: 3, newest_first, cursor: None };
        let mut seen = Vec::new();
        loop {
            let page = h.store.messages(&scope, &id, &query).await?;
            seen.extend(page.items.iter().map(|message| message.seq));
            query.cursor = page.next_cursor;
            if query.cursor.is_none() {
                break;
            }
        }
        let mut wanted: Vec<i64> = (1..=7).collect();
        if newest_first {
            wanted.reverse();
        }
        ensure_eq(seen, wanted, "the numbers of all pages of messages")?;
    }
    let newest = h.store.read(&scope, &id, 2).await?.history.unwrap_or_default();
    let seqs: Vec<_> = newest.iter().map(|message| message.seq).collect();
    ensure_eq(seqs, vec![6, 7], "the newest two, oldest first")?;
    for cursor in ["0", "-1", "07", "x", "9223372036854775808"] {
        let query = MessageQuery { cursor: Some(cursor.into()), ..MessageQuery::default() };
        ensure_error(h.store.messages(&scope, &id, &query).await, ErrorKind::InvalidInput, cursor)?;
    }
    Ok(())
}

async fn patches_merge(h: Harness) -> Outcome {
    let scope = acme()?;
    let data = object(json!({"keep": 1, "gone": 2, "deep": {"a": 1, "b": [1]}}));
    let id = h.store.create(&scope, NewContext { data, ..NewContext::default() }).await?.head.id;
    h.store.append(&scope, &id, says("hi")).await?;
    let patch = object(json!({"gone": null, "deep": {"b": "c", "x": {"y": null}}, "new": []}));
    let patched = h.store.patch(&scope, &id, patch, 2).await?;
    let wanted = object(json!({"keep": 1, "deep": {"a": 1, "b": "c", "x": {}}, "new": []}));
    ensure_eq((patched.head.version, patched.head.messages), (3, 1), "version and messages after a patch")?;
    ensure_eq(&patched.data, &wanted, "what a patch answers")?;
    let read = h.store.read(&scope, &id, 0).await?;
    ensure_eq((&read.data, &read.head), (&wanted, &patched.head), "what is stored after a patch")
}

async fn one_change_one_event(h: Harness) -> Outcome {
    let scope = acme()?;
    let data = object(json!({"a": 1}));
    let user_id = Some("user-789".to_owned());
    let context = NewContext { user_id, data: data.clone(), ..NewContext::default() };
    let id = h.store.create(&scope, context).await?.head.id;
    h.store.append(&scope, &id, says("hi")).await?;
    h.store.patch(&scope, &id, object(json!({"a": null})), 2).await?;
    let refused = h.store.patch(&scope, &id, object(json!({"a": 7})), 2).await;
    ensure_error(refused, ErrorKind::Conflict, "a stale patch")?;
    ensure_error(h.store.delete(&scope, &id, Some(2)).await, ErrorKind::Conflict, "a stale deletion")?;
    h.store.delete(&scope, &id, Some(3)).await?;
    let events = (h.events)(scope.clone()).await?;
    let told: Vec<_> = events
        .iter()
        .map(|event| {
            let data = event.data();
            let kind = event.kind().trim_start_matches("com.mcp.tenant.context.").to_owned();
            (kind, data["operation"].clone(), data["version"].clone(), data["changes"].clone())
        })
        .collect();
    let wanted = vec![
        ("created".to_owned(), json!("create"), json!(1), json!({"a": 1})),
        (
            "updated".to_owned(),
            json!("append"),
            json!(2),
            json!({"conversation_history": {"first_seq": 1, "last_seq": 1}}),
        ),
        ("updated".to_owned(), json!("update"), json!(3), json!({"a": null})),
        ("deleted".to_owned(), json!("delete"), json!(3), json!({})),
    ];
    ensure_eq(told, wanted, "the events")?;
    for event in &events {
        ensure_eq(event.subject(), Some(format!("acme/{id}").as_str()), "the subject")?;
        ensure_eq(event.source(), "context-service", "the source")?;
        let data = event.data();
        let whose = (data["tenantId"].clone(), data["contextId"].clone(), data["userId"].clone());
        ensure_eq(whose, (json!("acme"), json!(id.to_string()), json!("user-789")), "whose the event is")?;
        ensure(event.time().is_some() && data["timestamp"].is_string(), "an event has no time")?;
    }
    Ok(())
}

async fn deleted_is_gone(h: Harness) -> Outcome {
    let scope = acme()?;
    let kept = new(&h, &scope).await?.head;
    let id = new(&h, &scope).await?.head.id;
    h.store.append(&scope, &id, says("hi")).await?;
    h.store.delete(&scope, &id, None).await?;
    let query = MessageQuery::default();
    ensure_error(h.store.read(&scope, &id, 1).await, ErrorKind::NotFound, "reading what is deleted")?;
    ensure_error(h.store.messages(&scope, &id, &query).await, ErrorKind::NotFound, "its messages")?;
    ensure_error(h.store.append(&scope, &id, says("x")).await, ErrorKind::NotFound, "appending to it")?;
    ensure_error(h.store.delete(&scope, &id, None).await, ErrorKind::NotFound, "deleting it again")?;
    ensure_eq(h.store.list(&scope, &ContextQuery::default()).await?.items, vec![kept], "what is left")
}

async fn bad_input_changes_nothing(h: Harness) -> Outcome {
    let scope = acme()?;
    let before = new(&h, &scope).await?;
    let id = before.head.id;
    let events = (h.events)(scope.clone()).await?.len();
    let named = |error: &mcp_core::Error, path: &str| {
        let found = error
            .details()
            .iter()
            .any(|detail| matches!(detail, Detail::Field { path: at, .. } if at == path));
        ensure(found, format!("the error does not name `{path}`: {error:?}"))
    };
    let empty = NewMessage { content: Content(vec![]), ..NewMessage::text(Role::User, "") };
    let large = "x".repeat(64 * 1024);
    for (messages, kind, path) in [
        (vec![], ErrorKind::InvalidInput, "messages"),
        (vec![NewMessage::text(Role::User, "x"); 101], ErrorKind::InvalidInput, "messages"),
        (vec![NewMessage::text(Role::User, "x"), empty], ErrorKind::InvalidInput, "messages/1/content"),
        (vec![NewMessage::text(Role::User, "a\0b")], ErrorKind::InvalidInput, "messages/0"),
        (vec![NewMessage::text(Role::User, &large)], ErrorKind::TooLarge, "messages/0"),
    ] {
        let append = Append { messages, ..Append::default() };
        named(&ensure_error(h.store.append(&scope, &id, append).await, kind, path)?, path)?;
    }
    for (patch, kind, path) in [
        (json!({"conversation_history": []}), ErrorKind::InvalidInput, "data.conversation_history"),
        (json!({"conversation_history": null}), ErrorKind::InvalidInput, "data.conversation_history"),
        (json!({"a": "\0"}), ErrorKind::InvalidInput, "data"),
        (json!({"a": large}), ErrorKind::TooLarge, "data"),
    ] {
        let refused = h.store.patch(&scope, &id, object(patch.clone()), 1).await;
        named(&ensure_error(refused, kind, path)?, path)?;
        let context = NewContext { data: object(patch), ..NewContext::default() };
        named(&ensure_error(h.store.create(&scope, context).await, kind, path)?, path)?;
    }
    for text in ["", "a\nb", &"x".repeat(129)] {
        let context = NewContext { user_id: Some(text.into()), ..NewContext::default() };
        named(
            &ensure_error(h.store.create(&scope, context).await, ErrorKind::InvalidInput, text)?,
            "user_id",
        )?;
    }
    ensure_eq(h.store.read(&scope, &id, 9).await?, before, "the context after what was refused")?;
    ensure_eq(h.store.list(&scope, &ContextQuery::default()).await?.items.len(), 1, "how many there are")?;
    ensure_eq((h.events)(scope.clone()).await?.len(), events, "how many events there are")
}
