//! The promises of [`RefreshStore`].

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use mcp_core::{
    ErrorKind,
    clock::Timestamp,
    scope::{Permissions, Principal, PrincipalId, PrincipalKind},
};

use super::{Check, Failure, Outcome, ensure_eq, ensure_error, scope, tenant_id};
use crate::{
    key::{KeyDigest, KeyId},
    refresh::{MAX_FAMILIES, RefreshStore, Rotated, StoredFamily},
};

type Store = Arc<dyn RefreshStore>;

/// The suite of [`RefreshStore`].
pub const REFRESH_STORE: &[Check<dyn RefreshStore>] = &[
    ("what_is_found_is_what_was_inserted", |store| Box::pin(what_is_found_is_what_was_inserted(store))),
    ("one_successor", |store| Box::pin(one_successor(store))),
    ("ending_is_final_and_idempotent", |store| Box::pin(ending_is_final_and_idempotent(store))),
    ("families_are_bounded", |store| Box::pin(families_are_bounded(store))),
];

const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_123_456);
const LIFE: Duration = Duration::from_secs(3600);

fn digest(n: u8) -> Result<KeyDigest, Failure> {
    Ok(KeyDigest::from_stored(&[n; 32])?)
}

/// Lineage number `n` of a principal, begun `n` seconds from now.
fn family(tenant: &str, principal: &str, n: u32) -> Result<StoredFamily, Failure> {
    let begun = NOW.after(Duration::from_secs(n.into()));
    Ok(StoredFamily {
        id: KeyId::parse(&format!("{n:024x}"))?,
        tenant: tenant_id(tenant)?,
        principal: Principal {
            id: PrincipalId::parse(principal)?,
            kind: PrincipalKind::Service,
            permissions: Permissions::parse(["tools:call", "audit:*"])?,
        },
        key: KeyId::parse(&"a".repeat(24))?,
        tag_key: [7; 32],
        digest: digest(1)?,
        previous: None,
        generation: 1,
        rotated_at: begun,
        created_at: begun,
        expires_at: begun.after(LIFE),
        revoked_at: None,
    })
}

fn rotation(from: u8, to: u8) -> Result<Rotated, Failure> {
    Ok(Rotated {
        from: digest(from)?,
        to: digest(to)?,
        nonce: [to; 32],
        at: NOW.after(Duration::from_secs(9)),
    })
}

async fn what_is_found_is_what_was_inserted(store: Store) -> Outcome {
    let (scope, inserted) = (scope()?, family("acme", "robot", 1)?);
    store.insert(&scope, inserted.clone()).await?;
    ensure_eq(store.find(&scope, &inserted.id).await?, Some(inserted.clone()), "the lineage found")?;
    ensure_eq(store.find(&scope, &family("acme", "robot", 2)?.id).await?, None, "one that is not there")?;
    let again = store.insert(&scope, inserted).await;
    ensure_error(again, ErrorKind::AlreadyExists, "a second lineage of an id").map(drop)
}

async fn one_successor(store: Store) -> Outcome {
    let (scope, first) = (scope()?, family("acme", "robot", 1)?);
    store.insert(&scope, first.clone()).await?;
    let offered = (2..66).map(|to| rotation(1, to)).collect::<Result<Vec<_>, _>>()?;
    let offers = offered.iter().cloned().map(|rotated| store.rotate(&scope, &first.id, rotated));
    let answers = join_all(offers).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    let won: Vec<_> = offered.iter().zip(answers).filter(|(_, won)| *won).map(|(offer, _)| offer).collect();
    ensure_eq(won.len(), 1, "how many of 64 redemptions at once succeed")?;
    let expected = StoredFamily {
        digest: won[0].to.clone(),
        previous: Some((won[0].from.clone(), won[0].nonce)),
        generation: 2,
        rotated_at: won[0].at,
        ..first.clone()
    };
    ensure_eq(store.find(&scope, &first.id).await?, Some(expected), "the lineage after them")?;
    ensure_eq(
        store.rotate(&scope, &first.id, rotation(1, 99)?).await?,
        false,
        "redeeming what was replaced",
    )?;
    let nobody = family("acme", "robot", 2)?.id;
    ensure_eq(store.rotate(&scope, &nobody, rotation(1, 2)?).await?, false, "redeeming of no lineage")
}

async fn ending_is_final_and_idempotent(store: Store) -> Outcome {
    let (scope, first) = (scope()?, family("acme", "robot", 1)?);
    store.insert(&scope, first.clone()).await?;
    for later in [5, 6] {
        store.revoke(&scope, &first.id, NOW.after(Duration::from_secs(later)), "test").await?;
    }
    let ended = StoredFamily { revoked_at: Some(NOW.after(Duration::from_secs(5))), ..first.clone() };
    ensure_eq(store.find(&scope, &first.id).await?, Some(ended), "the lineage ended twice")?;
    ensure_eq(store.rotate(&scope, &first.id, rotation(1, 2)?).await?, false, "redeeming of an ended one")?;
    Ok(store.revoke(&scope, &family("acme", "robot", 2)?.id, NOW, "test").await?)
}

async fn families_are_bounded(store: Store) -> Outcome {
    let scope = scope()?;
    let other = family("acme", "other", 900)?;
    store.insert(&scope, other.clone()).await?;
    for n in 0..=MAX_FAMILIES {
        store.insert(&scope, family("acme", "robot", n)?).await?;
    }
    let there =
        async |n| Ok::<_, Failure>(store.find(&scope, &family("acme", "robot", n)?.id).await?.is_some());
    ensure_eq(there(0).await?, false, "the lineage used the longest ago, over the bound")?;
    ensure_eq(there(1).await? && there(MAX_FAMILIES).await?, true, "those within it")?;
    ensure_eq(store.find(&scope, &other.id).await?, Some(other.clone()), "another principal's")?;
    let late = u32::try_from(LIFE.as_secs()).unwrap_or(0) + 10;
    store.insert(&scope, family("acme", "late", late)?).await?;
    ensure_eq(there(1).await? || there(10).await?, false, "lineages past their time")?;
    ensure_eq(there(11).await?, true, "one that is not past it")
}
