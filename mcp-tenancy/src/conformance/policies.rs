//! The promises of [`PolicyStore`].

use std::sync::Arc;

use futures_util::future::join_all;
use mcp_core::{ErrorKind, Scope, error::Detail};
use serde_json::json;

use super::{Check, Failure, Outcome, TENANTS, ensure, ensure_eq, ensure_error, scope_of};
use crate::policy::{KEPT_VERSIONS, Language, NewPolicy, PolicyState, PolicyStore, PolicyText};

type Store = Arc<dyn PolicyStore>;

/// The suite of [`PolicyStore`]; the tenants [`TENANTS`] exist in the store's database.
pub const POLICY_STORE: &[Check<dyn PolicyStore>] = &[
    ("a_number_is_one_text", |store| Box::pin(a_number_is_one_text(store))),
    ("tenants_are_kept_apart", |store| Box::pin(tenants_are_kept_apart(store))),
    ("only_what_is_valid_decides", |store| Box::pin(only_what_is_valid_decides(store))),
    ("no_lost_activation", |store| Box::pin(no_lost_activation(store))),
    ("there_is_a_way_back", |store| Box::pin(there_is_a_way_back(store))),
    ("versions_are_bounded", |store| Box::pin(versions_are_bounded(store))),
    ("bad_input_changes_nothing", |store| Box::pin(bad_input_changes_nothing(store))),
];

fn acme() -> Result<Scope, Failure> {
    Ok(scope_of(TENANTS[0])?)
}

fn text(text: &str) -> NewPolicy {
    NewPolicy::new(PolicyText::new(Language::Cedar, text))
}

async fn validated(store: &Store, scope: &Scope, body: &str) -> Result<i64, Failure> {
    let version = store.draft(scope, text(body)).await?.head.version;
    store.mark_validated(scope, version).await?;
    Ok(version)
}

async fn a_number_is_one_text(store: Store) -> Outcome {
    let scope = acme()?;
    let mut new = text("permit 😀 \"%_\\");
    new.policy.language = Language::RegoV0;
    new.policy.data.insert("users".into(), json!({ "ä": [1, null, true] }));
    new.note = "why \"not\"".to_owned();
    let made = store.draft(&scope, new.clone()).await?;
    ensure_eq((&made.policy, &made.head.note), (&new.policy, &new.note), "the version that was made")?;
    ensure_eq((made.head.version, made.head.state), (1, PolicyState::Draft), "number and state")?;
    ensure_eq(&made.head.author, &scope.principal().id, "the author")?;
    ensure_eq(store.version(&scope, 1).await?, Some(made), "what is read")?;
    let drafts = join_all((0..8).map(|n| store.draft(&scope, text(&format!("text {n}"))))).await;
    let mut numbers =
        drafts.into_iter().map(|made| made.map(|made| made.head.version)).collect::<Result<Vec<_>, _>>()?;
    numbers.sort_unstable();
    ensure_eq(numbers, (2..10).collect(), "the numbers of eight drafts at once")?;

    for limit in [1, 4, 9, 0, u32::MAX] {
        let (mut seen, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let page = store.versions(&scope, cursor.as_deref(), limit).await?;
            seen.extend(page.items.iter().map(|head| head.version));
            ensure(seen.len() <= 9, format!("the list does not end with limit {limit}"))?;
            match page.next_cursor {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        ensure_eq(seen, (1..10).rev().collect(), "the versions listed, the newest first")?;
    }
    for cursor in ["", "x", "+1", "-1"] {
        let refused = store.versions(&scope, Some(cursor), 10).await;
        ensure_error(refused, ErrorKind::InvalidInput, "a cursor nobody gave")?;
    }
    Ok(())
}

async fn tenants_are_kept_apart(store: Store) -> Outcome {
    let (acme, globex) = (acme()?, scope_of(TENANTS[1])?);
    let ours = validated(&store, &acme, "ours").await?;
    store.activate(&acme, ours, 0).await?;
    ensure_eq(store.active(&globex).await?, 0, "what is active in the other tenant")?;
    ensure_eq(store.version(&globex, ours).await?, None, "our version in the other tenant")?;
    ensure_eq(store.versions(&globex, None, 10).await?.items, vec![], "the other tenant's versions")?;
    let foreign = store.activate(&globex, ours, 0).await;
    ensure_error(foreign, ErrorKind::NotFound, "activating another tenant's version")?;
    let foreign = store.mark_validated(&globex, ours).await;
    ensure_error(foreign, ErrorKind::NotFound, "validating another tenant's version")?;
    let theirs = validated(&store, &globex, "theirs").await?;
    ensure_eq(theirs, 1, "the other tenant's first number")?;
    store.activate(&globex, theirs, 0).await?;
    store.activate(&globex, 0, theirs).await?;
    ensure_eq(store.active(&acme).await?, ours, "what is active here")?;
    let stored = store.version(&acme, ours).await?.map(|version| version.policy.text);
    ensure_eq(stored.as_deref(), Some("ours"), "our text")
}

async fn only_what_is_valid_decides(store: Store) -> Outcome {
    let scope = acme()?;
    let version = store.draft(&scope, text("a")).await?.head.version;
    let early = store.activate(&scope, version, 0).await;
    ensure_error(early, ErrorKind::Conflict, "activating a draft")?;
    ensure_eq(store.active(&scope).await?, 0, "what is active")?;
    let marked = store.mark_validated(&scope, version).await?;
    ensure_eq(marked.head.state, PolicyState::Validated, "the state of what was validated")?;
    ensure(marked.head.validated_at.is_some(), "the time of validation is missing")?;
    ensure_eq(store.mark_validated(&scope, version).await?, marked, "validating twice")?;
    ensure_eq(store.activate(&scope, version, 0).await?, version, "what activating answers")?;
    let active = store.version(&scope, version).await?.map(|version| version.head.state);
    ensure_eq(active, Some(PolicyState::Active), "the state of what is active")?;
    ensure_error(store.activate(&scope, 99, version).await, ErrorKind::NotFound, "activating no version")?;
    ensure_error(store.mark_validated(&scope, 99).await, ErrorKind::NotFound, "validating no version")
        .map(drop)
}

async fn no_lost_activation(store: Store) -> Outcome {
    let scope = acme()?;
    let mut versions = Vec::new();
    for n in 0..6 {
        versions.push(validated(&store, &scope, &format!("text {n}")).await?);
    }
    let results = join_all(versions.iter().map(|version| store.activate(&scope, *version, 0))).await;
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    ensure_eq(won.len(), 1, "how many replaced nothing")?;
    let won = won.into_iter().next().transpose()?.unwrap_or_default();
    for result in lost {
        let error = ensure_error(result, ErrorKind::Conflict, "an activation that came too late")?;
        let named = error.details().contains(&Detail::Conflict { current: won });
        ensure(named, format!("the conflict does not name {won}: {:?}", error.details()))?;
    }
    ensure_eq(store.active(&scope).await?, won, "what is active after the race")
}

async fn there_is_a_way_back(store: Store) -> Outcome {
    let scope = acme()?;
    let (first, second) = (validated(&store, &scope, "a").await?, validated(&store, &scope, "b").await?);
    store.activate(&scope, first, 0).await?;
    store.activate(&scope, second, first).await?;
    ensure_eq(store.activate(&scope, second, second).await?, second, "activating what is active")?;
    store.activate(&scope, first, second).await?;
    ensure_eq(store.active(&scope).await?, first, "what is active after the way back")?;
    store.activate(&scope, 0, first).await?;
    ensure_eq(store.active(&scope).await?, 0, "what is active after deactivation")
}

async fn versions_are_bounded(store: Store) -> Outcome {
    let scope = acme()?;
    let first = validated(&store, &scope, "first").await?;
    store.activate(&scope, first, 0).await?;
    let kept = i64::from(KEPT_VERSIONS);
    for n in 0..=kept {
        store.draft(&scope, text(&format!("text {n}"))).await?;
    }
    let listed = store.versions(&scope, None, 200).await?.items;
    ensure_eq(listed.len() as i64, kept + 1, "versions kept, the active one included")?;
    ensure_eq(store.version(&scope, 2).await?, None, "the oldest version that was not active")?;
    let active = store.version(&scope, first).await?.map(|version| version.policy.text);
    ensure_eq(active.as_deref(), Some("first"), "the active version")?;
    let next = store.draft(&scope, text("next")).await?.head.version;
    ensure_eq(next, kept + 3, "the number after some were pruned")
}

async fn bad_input_changes_nothing(store: Store) -> Outcome {
    let scope = acme()?;
    let mut noisy = text("a");
    noisy.note = "line\nbreak".to_owned();
    let mut with_data = text("a");
    with_data.policy.data.insert("x".into(), json!(1));
    for bad in [text(" "), text("a\0b"), noisy, with_data] {
        ensure_error(store.draft(&scope, bad).await, ErrorKind::InvalidInput, "a malformed draft")?;
    }
    let large = text(&"x".repeat(crate::policy::MAX_TEXT + 1));
    ensure_error(store.draft(&scope, large).await, ErrorKind::TooLarge, "a draft that is too large")?;
    ensure_eq(store.versions(&scope, None, 10).await?.items, vec![], "the versions after refusals")
}
