//! The promises of [`ContextStore`](crate::context::ContextStore) where many write at once, or stop midway.

use std::{collections::HashSet, sync::Arc};

use futures_util::future::join_all;
use mcp_core::{
    ErrorKind,
    conformance::{Cut, Failure, Outcome, cancel_at},
    error::Detail,
};
use serde_json::json;

use super::{
    acme,
    contexts::{ContextHarness, new, object, says},
    ensure, ensure_eq, ensure_error,
};
use crate::context::{Append, ContextQuery, MessageQuery, NewContext, NewMessage, Role};

type Harness = Arc<ContextHarness>;

/// Appenders at once, and appends of each.
const WRITERS: usize = 64;
const APPENDS: usize = 3;

fn both(text: &str) -> Append {
    let message = |end| NewMessage::text(Role::User, &format!("{text}/{end}"));
    Append { messages: vec![message("a"), message("b")], ..Append::default() }
}

pub(super) async fn nothing_lost_nothing_twice(h: Harness) -> Outcome {
    let scope = acme()?;
    let id = new(&h, &scope).await?.head.id;
    let writers = (0..WRITERS).map(|writer| {
        let (h, scope) = (h.clone(), scope.clone());
        async move {
            let mut acknowledged = Vec::new();
            for n in 0..APPENDS {
                let text = format!("{writer}-{n}");
                let appended = h.store.append(&scope, &id, both(&text)).await?;
                ensure_eq(appended.last_seq, appended.first_seq + 1, "the numbers of two messages")?;
                acknowledged.push((text, appended));
            }
            Ok::<_, Failure>(acknowledged)
        }
    });
    let mut acknowledged = Vec::new();
    for done in join_all(writers).await {
        acknowledged.extend(done?);
    }
    let total = (WRITERS * APPENDS) as i64;
    let head = h.store.read(&scope, &id, 0).await?.head;
    ensure_eq(
        (head.version, head.messages),
        (total + 1, 2 * total),
        "version and messages after all appends",
    )?;
    let mut stored = Vec::new();
    let mut query = MessageQuery { limit: 200, ..MessageQuery::default() };
    loop {
        let page = h.store.messages(&scope, &id, &query).await?;
        stored.extend(page.items);
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            break;
        }
    }
    let gap_free = (1..).zip(&stored).all(|(seq, message)| message.seq == seq);
    ensure(gap_free && stored.len() as i64 == 2 * total, "the numbers have gaps, or messages are missing")?;
    for (text, appended) in &acknowledged {
        let at = |seq: i64| stored.get(seq as usize - 1).map(|message| message.content.clone());
        let [a, b] = both(text).messages.map_content();
        let got = (at(appended.first_seq), at(appended.last_seq));
        ensure_eq(got, (Some(a), Some(b)), "what stands at an acknowledged place")?;
    }
    let versions: HashSet<_> = acknowledged.iter().map(|(_, appended)| appended.version).collect();
    ensure_eq(versions.len() as i64, total, "versions that were acknowledged")?;
    let mut told = Vec::new();
    for event in (h.events)(scope).await? {
        told.extend(event.data()["version"].as_i64());
    }
    ensure_eq(told, (1..=total + 1).collect(), "the versions of the events, in their order")
}

trait MapContent {
    fn map_content(self) -> [crate::context::Content; 2];
}

impl MapContent for Vec<NewMessage> {
    fn map_content(mut self) -> [crate::context::Content; 2] {
        let b = self.remove(1).content;
        [self.remove(0).content, b]
    }
}

pub(super) async fn no_lost_update(h: Harness) -> Outcome {
    let scope = acme()?;
    let id = new(&h, &scope).await?.head.id;
    let patch = |n: usize| h.store.patch(&scope, &id, object(json!({ "writer": n })), 1);
    let (won, lost): (Vec<_>, Vec<_>) =
        join_all((0..8).map(patch)).await.into_iter().partition(std::result::Result::is_ok);
    ensure_eq(won.len(), 1, "how many patches of one version succeeded")?;
    for refused in lost {
        let error = ensure_error(refused, ErrorKind::Conflict, "a patch of a version that is gone")?;
        let named = error.details().contains(&Detail::Conflict { current: 2 });
        ensure(named, format!("the conflict does not name version 2: {:?}", error.details()))?;
    }
    let won = won.into_iter().next().transpose()?.map(|context| context.data);
    ensure_eq(Some(h.store.read(&scope, &id, 0).await?.data), won, "whose patch is stored")?;

    let append =
        |n: usize| h.store.append(&scope, &id, Append { expected_version: Some(2), ..says(&n.to_string()) });
    let (won, lost): (Vec<_>, Vec<_>) =
        join_all((0..8).map(append)).await.into_iter().partition(std::result::Result::is_ok);
    ensure_eq(won.len(), 1, "how many appends to one version succeeded")?;
    for refused in lost {
        let error = ensure_error(refused, ErrorKind::Conflict, "an append to a version that is gone")?;
        ensure(error.details().contains(&Detail::Conflict { current: 3 }), "the conflict does not name 3")?;
    }
    let read = h.store.read(&scope, &id, 9).await?;
    ensure_eq((read.head.version, read.head.messages), (3, 1), "version and messages after one of each")?;
    let stale = ensure_error(h.store.delete(&scope, &id, Some(2)).await, ErrorKind::Conflict, "a deletion")?;
    ensure(stale.details().contains(&Detail::Conflict { current: 3 }), "the conflict does not name 3")?;
    h.store.delete(&scope, &id, Some(3)).await?;
    Ok(())
}

pub(super) async fn trying_again_is_safe(h: Harness) -> Outcome {
    let scope = acme()?;
    let context = NewContext {
        data: object(json!({"a": 1})),
        idempotency_key: Some("make".into()),
        ..NewContext::default()
    };
    let tries = join_all((0..6).map(|_| h.store.create(&scope, context.clone()))).await;
    let made = tries.into_iter().collect::<Result<Vec<_>, _>>()?;
    ensure(made.iter().all(|one| one.head == made[0].head), "tries made different contexts")?;
    let id = made[0].head.id;
    ensure_eq(h.store.list(&scope, &ContextQuery::default()).await?.items.len(), 1, "how many were made")?;
    let other = NewContext { data: object(json!({"a": 2})), ..context.clone() };
    ensure_error(h.store.create(&scope, other).await, ErrorKind::Conflict, "the key for another context")?;

    // The version is the one of the first try: a second one must not take its own success for a conflict.
    let append = Append { idempotency_key: Some("say".into()), expected_version: Some(1), ..both("once") };
    let tries = join_all((0..6).map(|_| h.store.append(&scope, &id, append.clone()))).await;
    let done = tries.into_iter().collect::<Result<Vec<_>, _>>()?;
    ensure(done.iter().all(|one| *one == done[0]), format!("tries came to different things: {done:?}"))?;
    h.store.append(&scope, &id, says("later")).await?;
    ensure_eq(h.store.append(&scope, &id, append.clone()).await?, done[0], "a later try")?;
    let other = Append { messages: says("other").messages, ..append };
    ensure_error(
        h.store.append(&scope, &id, other).await,
        ErrorKind::Conflict,
        "the key for other messages",
    )?;
    let taken = Append { idempotency_key: Some("make".into()), ..says("x") };
    ensure_error(h.store.append(&scope, &id, taken).await, ErrorKind::Conflict, "a key of a creation")?;
    let read = h.store.create(&scope, context).await?;
    ensure_eq((read.head.version, read.head.messages), (3, 3), "the context after all tries")?;
    ensure_eq((h.events)(scope).await?.len(), 3, "events of all tries")
}

pub(super) async fn at_most_so_many(h: Harness) -> Outcome {
    let scope = acme()?;
    let limited = || NewContext { at_most: Some(3), ..NewContext::default() };
    let tries = join_all((0..8).map(|_| h.store.create(&scope, limited()))).await;
    let (made, refused): (Vec<_>, Vec<_>) = tries.into_iter().partition(std::result::Result::is_ok);
    ensure_eq(made.len(), 3, "how many contexts were made with a limit of 3")?;
    for refused in refused {
        ensure_error(refused, ErrorKind::RateLimited, "a context above the limit")?;
    }
    let id = made.into_iter().next().transpose()?.map(|context| context.head.id);
    let id = id.ok_or_else(|| Failure::from("none was made".to_owned()))?;
    h.store.delete(&scope, &id, None).await?;
    h.store.create(&scope, limited()).await?;
    ensure_error(h.store.create(&scope, limited()).await, ErrorKind::RateLimited, "one more").map(drop)
}

/// A call that is dropped at any of its awaits has happened whole or not at all, and can be tried again.
pub(super) async fn dropped_calls_are_whole_or_nothing(h: Harness) -> Outcome {
    let scope = acme()?;
    let id = new(&h, &scope).await?.head.id;
    let (mut appends, mut finished) = (0, false);
    for polls in 1..200 {
        let append = Append { idempotency_key: Some(format!("k{polls}")), ..both(&polls.to_string()) };
        let cut = cancel_at(polls, h.store.append(&scope, &id, append.clone())).await;
        // Waits for a commit that had begun, and then finds it done.
        h.store.append(&scope, &id, append).await?;
        appends += 1;
        let read = h.store.read(&scope, &id, 2).await?;
        let counted = (read.head.version, read.head.messages);
        ensure_eq(counted, (appends + 1, 2 * appends), &format!("the context after {polls} polls"))?;
        let newest: Vec<_> = read.history.unwrap_or_default().into_iter().map(|one| one.content).collect();
        ensure_eq(newest, both(&polls.to_string()).messages.map_content().to_vec(), "the newest messages")?;
        let events = (h.events)(scope.clone()).await?.len() as i64;
        ensure_eq(events, appends + 1, &format!("events after {polls} polls"))?;
        if matches!(cut, Cut::Completed(_)) {
            finished = true;
            break;
        }
    }
    ensure(finished, "no call was long enough to finish")?;

    for polls in 1..200 {
        let context = new(&h, &scope).await?.head;
        let cut = cancel_at(polls, h.store.patch(&scope, &context.id, object(json!({"a": 1})), 1)).await;
        let again = h.store.patch(&scope, &context.id, object(json!({"a": 1})), 1).await;
        if let Err(error) = again {
            let known = error.details().contains(&Detail::Conflict { current: 2 });
            ensure(known, format!("a patch after a dropped one: {error:?}"))?;
        }
        let read = h.store.read(&scope, &context.id, 0).await?;
        ensure_eq((read.head.version, read.data), (2, object(json!({"a": 1}))), "the patched context")?;
        if matches!(cut, Cut::Completed(_)) {
            return Ok(());
        }
    }
    Err("no patch was long enough to finish".to_owned().into())
}
