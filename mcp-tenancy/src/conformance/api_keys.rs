//! The promises of [`KeyStore`].

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use mcp_core::{ErrorKind, clock::Timestamp, scope::Permissions};

use super::{Check, Failure, Outcome, ensure, ensure_eq, ensure_error, scope, tenant_id};
use crate::key::{ApiKey, KeyDigest, KeyId, KeyStore, NewApiKey, StoredKey};

type Store = Arc<dyn KeyStore>;

const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_123_456);
const MANY: u32 = 1000;

/// The suite of [`KeyStore`].
pub const KEY_STORE: &[Check<dyn KeyStore>] = &[
    ("what_is_found_is_what_was_inserted", |store| Box::pin(what_is_found_is_what_was_inserted(store))),
    ("one_key_an_id", |store| Box::pin(one_key_an_id(store))),
    ("keys_are_bounded", |store| Box::pin(keys_are_bounded(store))),
    ("rotating_leaves_two_secrets_at_most", |store| Box::pin(rotating_leaves_two_secrets_at_most(store))),
    ("use_moves_forward", |store| Box::pin(use_moves_forward(store))),
    ("revoking_is_final_and_idempotent", |store| Box::pin(revoking_is_final_and_idempotent(store))),
    ("tenants_are_kept_apart", |store| Box::pin(tenants_are_kept_apart(store))),
    ("lists_are_complete_and_in_order", |store| Box::pin(lists_are_complete_and_in_order(store))),
];

/// Key number `n` of a tenant; its id and digest say `n`.
fn key(tenant: &str, n: u64) -> Result<StoredKey, Failure> {
    let permissions = Permissions::parse(["tools:call", "audit:*"])?;
    let mut new = NewApiKey::service(tenant_id(tenant)?, format!("key {n}"), "robot", permissions)?;
    new.expires_at = n.is_multiple_of(2).then(|| NOW.after(Duration::from_secs(60)));
    let id = KeyId::parse(&format!("{n:024x}"))?;
    let digest = KeyDigest::from_stored(&[u8::try_from(n % 256).unwrap_or(0); 32])?;
    Ok(StoredKey { key: ApiKey::create(new, id, NOW), digest, former: None })
}

async fn what_is_found_is_what_was_inserted(store: Store) -> Outcome {
    let scope = scope()?;
    for n in 0..4 {
        let inserted = key("acme", n)?;
        store.insert(&scope, inserted.clone(), MANY).await?;
        ensure_eq(store.find(&scope, &inserted.key.id).await?, Some(inserted), "the key found")?;
    }
    ensure_eq(store.find(&scope, &key("acme", 9)?.key.id).await?, None, "a key that is not there")
}

async fn one_key_an_id(store: Store) -> Outcome {
    let scope = scope()?;
    let (first, second) = (key("acme", 1)?, StoredKey { digest: key("acme", 2)?.digest, ..key("beta", 1)? });
    store.insert(&scope, first.clone(), MANY).await?;
    ensure_error(
        store.insert(&scope, second, MANY).await,
        ErrorKind::AlreadyExists,
        "a second key of an id",
    )?;
    ensure_eq(store.find(&scope, &first.key.id).await?, Some(first), "the first key")
}

async fn keys_are_bounded(store: Store) -> Outcome {
    const LIMIT: u32 = 3;
    let scope = scope()?;
    let offered = (0..8).map(|n| key("acme", n)).collect::<Result<Vec<_>, _>>()?;
    let offered = offered.into_iter().map(|key| store.insert(&scope, key, LIMIT));
    let (taken, refused): (Vec<_>, Vec<_>) = join_all(offered).await.into_iter().partition(Result::is_ok);
    ensure_eq(taken.len(), 3, "how many of eight keys at once were taken under a limit of three")?;
    for refusal in refused {
        ensure_error(refusal, ErrorKind::Conflict, "a key over the limit")?;
    }
    store.insert(&scope, key("beta", 20)?, LIMIT).await?;
    let held = store.list(&scope, &tenant_id("acme")?, None, 10).await?.items;
    store.revoke(&scope, &tenant_id("acme")?, &held[0].id).await?;
    store.insert(&scope, key("acme", 31)?, LIMIT).await?;
    let mut late = key("acme", 33)?;
    late.key.created_at = NOW.after(Duration::from_secs(60));
    let expired = held[1..].iter().filter(|key| key.expires_at.is_some()).count();
    let inserted = store.insert(&scope, late, LIMIT).await;
    match expired {
        0 => {
            ensure_error(inserted, ErrorKind::Conflict, "a key over the limit, none having expired").map(drop)
        }
        _ => Ok(inserted?),
    }
}

async fn rotating_leaves_two_secrets_at_most(store: Store) -> Outcome {
    let (scope, inserted) = (scope()?, key("acme", 1)?);
    let (tenant, id) = (&inserted.key.tenant, &inserted.key.id);
    let [second, third] = [key("acme", 2)?.digest, key("acme", 3)?.digest];
    store.insert(&scope, inserted.clone(), MANY).await?;
    let until = NOW.after(Duration::from_secs(60));
    let rotated = store.rotate(&scope, tenant, id, second.clone(), Some(until)).await?;
    ensure(rotated.rotated_at.is_some(), "a rotated key does not say when")?;
    ensure_eq(rotated.previous_until, Some(until), "when the secret before ends")?;
    let expected = StoredKey { key: rotated, digest: second.clone(), former: Some(inserted.digest.clone()) };
    ensure_eq(store.find(&scope, id).await?, Some(expected), "the rotated key")?;
    store.rotate(&scope, tenant, id, third.clone(), None).await?;
    let found = store.find(&scope, id).await?.ok_or_else(|| "the key is gone".to_owned())?;
    ensure_eq(
        (found.digest, found.former),
        (third.clone(), None),
        "the secrets after a rotation without overlap",
    )?;
    ensure_eq(found.key.previous_until, None, "when no secret ends")?;
    let foreign = store.rotate(&scope, &tenant_id("beta")?, id, second.clone(), None).await;
    ensure_error(foreign, ErrorKind::NotFound, "rotating another tenant's key")?;
    store.revoke(&scope, tenant, id).await?;
    let revoked = store.rotate(&scope, tenant, id, second, None).await;
    ensure_error(revoked, ErrorKind::Conflict, "rotating a revoked key")?;
    ensure_eq(store.find(&scope, id).await?.map(|found| found.digest), Some(third), "its secret")
}

async fn use_moves_forward(store: Store) -> Outcome {
    let scope = scope()?;
    let (used, unused) = (key("acme", 1)?, key("acme", 2)?);
    store.insert(&scope, used.clone(), MANY).await?;
    store.insert(&scope, unused.clone(), MANY).await?;
    let (early, late) = (NOW, NOW.after(Duration::from_secs(60)));
    for at in [early, late, early] {
        let unknown = key("acme", 9)?.key.id;
        store.used(&scope, &[(used.key.id.clone(), at), (unknown, at)]).await?;
    }
    let found = store.find(&scope, &used.key.id).await?.ok_or_else(|| "the key is gone".to_owned())?;
    ensure_eq(found.key.last_used_at, Some(late), "when the key was last used")?;
    ensure_eq(store.find(&scope, &unused.key.id).await?, Some(unused), "the key beside it")
}

async fn revoking_is_final_and_idempotent(store: Store) -> Outcome {
    let (scope, inserted) = (scope()?, key("acme", 1)?);
    let (tenant, id) = (&inserted.key.tenant, &inserted.key.id);
    store.insert(&scope, inserted.clone(), MANY).await?;
    let revoked = store.revoke(&scope, tenant, id).await?;
    ensure(revoked.revoked_at.is_some(), "a revoked key says it is not")?;
    ensure_eq(store.revoke(&scope, tenant, id).await?, revoked.clone(), "revoking a revoked key")?;
    let found = store.find(&scope, id).await?;
    ensure_eq(found, Some(StoredKey { key: revoked, ..inserted.clone() }), "the revoked key")?;
    let again = store.insert(&scope, inserted.clone(), MANY).await;
    ensure_error(again, ErrorKind::AlreadyExists, "inserting a revoked key again").map(drop)
}

async fn tenants_are_kept_apart(store: Store) -> Outcome {
    let scope = scope()?;
    let (acme, beta) = (key("acme", 1)?, key("beta", 2)?);
    store.insert(&scope, acme.clone(), MANY).await?;
    store.insert(&scope, beta.clone(), MANY).await?;
    let listed = store.list(&scope, &beta.key.tenant, None, 10).await?;
    ensure_eq(listed.items, vec![beta.key.clone()], "the keys of beta")?;
    let foreign = store.revoke(&scope, &beta.key.tenant, &acme.key.id).await;
    let foreign = ensure_error(foreign, ErrorKind::NotFound, "revoking another tenant's key")?;
    let unknown = store.revoke(&scope, &beta.key.tenant, &key("acme", 9)?.key.id).await;
    let unknown = ensure_error(unknown, ErrorKind::NotFound, "revoking no key")?;
    let [foreign, unknown] = [(foreign, &acme.key.id), (unknown, &key("acme", 9)?.key.id)]
        .map(|(error, id)| error.message().replace(id.as_str(), "…"));
    ensure_eq(foreign, unknown, "what another tenant's key id answers")?;
    ensure_eq(store.find(&scope, &acme.key.id).await?, Some(acme), "acme's key")
}

async fn lists_are_complete_and_in_order(store: Store) -> Outcome {
    let (scope, tenant) = (scope()?, tenant_id("acme")?);
    for n in [5, 3, 8, 1, 9, 2] {
        store.insert(&scope, key("acme", n)?, MANY).await?;
        store.insert(&scope, key("beta", n + 16)?, MANY).await?;
    }
    let expected: Vec<_> =
        [1, 2, 3, 5, 8, 9].map(|n| key("acme", n)).into_iter().collect::<Result<Vec<_>, _>>()?;
    let expected: Vec<_> = expected.into_iter().map(|stored| stored.key).collect();
    for limit in [1, 4, 6, 0, u32::MAX] {
        let (mut seen, mut cursor) = (Vec::new(), None::<String>);
        for _ in 0..10 {
            let page = store.list(&scope, &tenant, cursor.as_deref(), limit).await?;
            seen.extend(page.items);
            match page.next_cursor {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        ensure_eq(&seen, &expected, &format!("the keys listed with limit {limit}"))?;
    }
    let refused = store.list(&scope, &tenant, Some("not a cursor"), 10).await;
    ensure_error(refused, ErrorKind::InvalidInput, "a cursor nobody gave").map(drop)
}
