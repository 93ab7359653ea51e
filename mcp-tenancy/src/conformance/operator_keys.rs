//! The promises of [`OperatorKeyStore`].

use std::{sync::Arc, time::Duration};

use mcp_core::{ErrorKind, clock::Timestamp, scope::PrincipalId};

use super::{Check, Failure, Outcome, ensure, ensure_eq, ensure_error, scope};
use crate::{
    key::{KeyDigest, KeyId},
    operator::{NewOperatorKey, OperatorKey, OperatorKeyStore, StoredOperatorKey},
};

type Store = Arc<dyn OperatorKeyStore>;

/// The suite of [`OperatorKeyStore`].
pub const OPERATOR_KEY_STORE: &[Check<dyn OperatorKeyStore>] = &[
    ("what_is_found_is_what_was_inserted", |store| Box::pin(what_is_found_is_what_was_inserted(store))),
    ("one_key_an_id", |store| Box::pin(one_key_an_id(store))),
    ("revoking_is_final_and_idempotent", |store| Box::pin(revoking_is_final_and_idempotent(store))),
    ("lists_are_complete_and_in_order", |store| Box::pin(lists_are_complete_and_in_order(store))),
];

/// Key number `n`; its id and digest say `n`.
fn key(n: u64) -> Result<StoredOperatorKey, Failure> {
    let now = Timestamp::from_micros(1_800_000_000_123_456);
    let mut new = NewOperatorKey::new(format!("key {n}"), PrincipalId::parse("operator:root")?);
    new.expires_at = n.is_multiple_of(2).then(|| now.after(Duration::from_secs(60)));
    let id = KeyId::parse(&format!("{n:024x}"))?;
    let digest = KeyDigest::from_stored(&[u8::try_from(n % 256).unwrap_or(0); 32])?;
    Ok(StoredOperatorKey { key: OperatorKey::create(new, id, now), digest })
}

async fn what_is_found_is_what_was_inserted(store: Store) -> Outcome {
    let scope = scope()?;
    for n in 0..4 {
        let inserted = key(n)?;
        store.insert(&scope, inserted.clone()).await?;
        ensure_eq(store.find(&scope, &inserted.key.id).await?, Some(inserted), "the key found")?;
    }
    ensure_eq(store.find(&scope, &key(9)?.key.id).await?, None, "a key that is not there")
}

async fn one_key_an_id(store: Store) -> Outcome {
    let scope = scope()?;
    let (first, second) = (key(1)?, StoredOperatorKey { digest: key(2)?.digest, ..key(1)? });
    store.insert(&scope, first.clone()).await?;
    ensure_error(store.insert(&scope, second).await, ErrorKind::AlreadyExists, "a second key of an id")?;
    ensure_eq(store.find(&scope, &first.key.id).await?, Some(first), "the first key")
}

async fn revoking_is_final_and_idempotent(store: Store) -> Outcome {
    let (scope, inserted) = (scope()?, key(1)?);
    let id = &inserted.key.id;
    store.insert(&scope, inserted.clone()).await?;
    let revoked = store.revoke(&scope, id).await?;
    ensure(revoked.revoked_at.is_some(), "a revoked key says it is not")?;
    ensure_eq(store.revoke(&scope, id).await?, revoked.clone(), "revoking a revoked key")?;
    let found = store.find(&scope, id).await?;
    ensure_eq(found, Some(StoredOperatorKey { key: revoked, ..inserted.clone() }), "the revoked key")?;
    ensure_error(store.revoke(&scope, &key(9)?.key.id).await, ErrorKind::NotFound, "revoking no key")?;
    let again = store.insert(&scope, inserted.clone()).await;
    ensure_error(again, ErrorKind::AlreadyExists, "inserting a revoked key again").map(drop)
}

async fn lists_are_complete_and_in_order(store: Store) -> Outcome {
    let scope = scope()?;
    for n in [5, 3, 8, 1, 9, 2] {
        store.insert(&scope, key(n)?).await?;
    }
    let expected = [1, 2, 3, 5, 8, 9].map(|n| key(n).map(|stored| stored.key));
    let expected = expected.into_iter().collect::<Result<Vec<_>, _>>()?;
    for limit in [1, 4, 6, 0, u32::MAX] {
        let (mut seen, mut cursor) = (Vec::new(), None::<String>);
        for _ in 0..10 {
            let page = store.list(&scope, cursor.as_deref(), limit).await?;
            seen.extend(page.items);
            match page.next_cursor {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        ensure_eq(&seen, &expected, &format!("the keys listed with limit {limit}"))?;
    }
    let refused = store.list(&scope, Some("not a cursor"), 10).await;
    ensure_error(refused, ErrorKind::InvalidInput, "a cursor nobody gave").map(drop)
}
