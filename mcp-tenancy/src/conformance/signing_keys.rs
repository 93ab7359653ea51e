//! The promises of [`SigningKeyStore`].

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use mcp_core::{ErrorKind, clock::Timestamp};

use super::{Check, Failure, Outcome, ensure, ensure_eq, ensure_error, scope, tenant_id};
use crate::token::{KeyState, SigningAlgorithm, SigningKey, SigningKeyStore};

type Store = Arc<dyn SigningKeyStore>;

/// The suite of [`SigningKeyStore`].
pub const SIGNING_KEY_STORE: &[Check<dyn SigningKeyStore>] = &[
    ("one_first_key", |store| Box::pin(one_first_key(store))),
    ("one_next_key", |store| Box::pin(one_next_key(store))),
    ("the_key_that_signs_stays", |store| Box::pin(the_key_that_signs_stays(store))),
    ("tenants_are_kept_apart", |store| Box::pin(tenants_are_kept_apart(store))),
];

const MADE: Timestamp = Timestamp::from_micros(1_800_000_000_123_456);
const LEAD: Duration = Duration::from_secs(10);
const OVERLAP: Duration = Duration::from_secs(3600);

fn key(tenant: &str, n: u8) -> Result<SigningKey, Failure> {
    Ok(SigningKey {
        tenant: tenant_id(tenant)?,
        kid: format!("kid-{n}"),
        algorithm: SigningAlgorithm::ALL[usize::from(n % 3)],
        public: vec![n; 32],
        sealed: vec![n, 0, 255, n],
        created_at: MADE,
        active_from: MADE,
        signs_until: None,
        verifies_until: None,
    })
}

async fn one_first_key(store: Store) -> Outcome {
    let (scope, tenant) = (scope()?, tenant_id("acme")?);
    ensure_eq(store.keys(&scope, &tenant).await?, vec![], "the keys of a tenant without any")?;
    let contenders = (0..8).map(|n| key("acme", n)).collect::<Result<Vec<_>, _>>()?;
    let offered = contenders.iter().cloned().map(|key| store.first(&scope, key));
    let answers = join_all(offered).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    let kept = store.keys(&scope, &tenant).await?;
    ensure_eq(kept.len(), 1, "how many first keys there are")?;
    ensure(contenders.contains(&kept[0]), format!("the kept key is none of the offered: {kept:?}"))?;
    ensure(answers.iter().all(|key| *key == kept[0]), "a contender was told of another key")?;
    ensure_eq(store.first(&scope, key("acme", 9)?).await?, kept[0].clone(), "a late contender")
}

async fn one_next_key(store: Store) -> Outcome {
    let (scope, first) = (scope()?, key("acme", 1)?);
    store.first(&scope, first.clone()).await?;
    let next = |n| key("acme", n).map(|key| SigningKey { active_from: MADE.after(LEAD), ..key });
    let contenders = (2..8).map(next).collect::<Result<Vec<_>, _>>()?;
    let offered = contenders.iter().cloned().map(|key| store.rotate(&scope, key, OVERLAP));
    let (won, lost): (Vec<_>, Vec<_>) = join_all(offered).await.into_iter().partition(Result::is_ok);
    ensure_eq(won.len(), 1, "how many rotations at once succeed")?;
    for refused in lost {
        ensure_error(refused, ErrorKind::Conflict, "a rotation beside another")?;
    }
    let won = won.into_iter().collect::<Result<Vec<_>, _>>()?.remove(0);
    ensure(contenders.contains(&won), "the key that won is not as it was offered")?;
    let (signs_until, verifies_until) = (Some(won.active_from), Some(won.active_from.after(OVERLAP)));
    let followed = SigningKey { signs_until, verifies_until, ..first.clone() };
    let keys = store.keys(&scope, &first.tenant).await?;
    ensure_eq(keys, vec![won.clone(), followed.clone()], "the keys of a rotation, newest first")?;

    let later = MADE.after(OVERLAP + LEAD);
    let third = SigningKey { created_at: later, active_from: later.after(LEAD), ..key("acme", 9)? };
    let kept = store.rotate(&scope, third.clone(), OVERLAP).await?;
    ensure_eq(kept, third.clone(), "the key of the rotation after")?;
    let kids: Vec<_> = store.keys(&scope, &first.tenant).await?.into_iter().map(|key| key.kid).collect();
    ensure_eq(kids, vec![third.kid, won.kid], "the keys once the first verifies nothing")?;
    let alone = SigningKey { active_from: MADE.after(LEAD), ..key("beta", 1)? };
    let kept = store.rotate(&scope, alone, OVERLAP).await?;
    ensure_eq(kept.state(MADE), KeyState::Active, "the only key of a tenant")
}

async fn the_key_that_signs_stays(store: Store) -> Outcome {
    let (scope, first) = (scope()?, key("acme", 1)?);
    let tenant = &first.tenant;
    store.first(&scope, first.clone()).await?;
    let next = SigningKey { active_from: MADE.after(LEAD), ..key("acme", 2)? };
    let next = store.rotate(&scope, next, OVERLAP).await?;
    let refused = store.remove(&scope, tenant, &first.kid, MADE).await;
    ensure_error(refused, ErrorKind::Conflict, "removing the key that signs")?;
    ensure_eq(store.remove(&scope, tenant, &next.kid, MADE).await?, next.clone(), "the removed next key")?;
    ensure_eq(store.keys(&scope, tenant).await?, vec![first.clone()], "the keys without it")?;
    store.rotate(&scope, next.clone(), OVERLAP).await?;
    store.remove(&scope, tenant, &first.kid, next.active_from).await?;
    ensure_eq(store.keys(&scope, tenant).await?, vec![next.clone()], "the keys without the retiring one")?;
    for (whose, kid) in [(tenant.clone(), first.kid.as_str()), (tenant_id("beta")?, next.kid.as_str())] {
        let unknown = store.remove(&scope, &whose, kid, MADE).await;
        ensure_error(unknown, ErrorKind::NotFound, "removing a key that is not there")?;
    }
    Ok(())
}

async fn tenants_are_kept_apart(store: Store) -> Outcome {
    let scope = scope()?;
    let (acme, beta) = (key("acme", 1)?, SigningKey { public: vec![2; 32], ..key("beta", 1)? });
    ensure_eq(store.first(&scope, acme.clone()).await?, acme.clone(), "acme's key")?;
    ensure_eq(store.first(&scope, beta.clone()).await?, beta.clone(), "beta's key of the same kid")?;
    ensure_eq(store.keys(&scope, &acme.tenant).await?, vec![acme], "acme's keys")?;
    ensure_eq(store.keys(&scope, &beta.tenant).await?, vec![beta], "beta's keys")
}
