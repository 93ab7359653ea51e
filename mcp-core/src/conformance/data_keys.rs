//! The suite of stores of data keys.

use std::sync::Arc;

use super::{Outcome, Report, ensure, platform};
use crate::{
    error::{ErrorKind, Result},
    key::{DataKeyStore, KeyState, MAX_DATA_KEYS, NewDataKey, Rewrap, StoredDataKey, WrappedKey},
    scope::TenantId,
};

type Store = Arc<dyn DataKeyStore>;

/// Runs every case on a store that holds nothing yet and that nothing else uses.
pub async fn run_data_key_store(store: &Store) -> Report {
    let mut report = Report::default();
    // First, as it looks at all there is.
    report.cases.push(("pages_are_complete_and_in_order", pages_are_complete_and_in_order(store).await));
    report.cases.push(("one_first_key", one_first_key(store).await));
    report.cases.push(("one_next_key", one_next_key(store).await));
    report.cases.push(("tenants_are_kept_apart", tenants_are_kept_apart(store).await));
    report.cases.push(("no_wrapping_is_lost", no_wrapping_is_lost(store).await));
    report.cases.push(("shredding_is_final", shredding_is_final(store).await));
    report.cases.push(("nothing_slips_past_a_shredding", nothing_slips_past_a_shredding(store).await));
    report.cases.push(("keys_are_bounded", keys_are_bounded(store).await));
    report
}

fn wrapped(n: u8) -> WrappedKey {
    WrappedKey { wrapping_key: format!("test:{n}"), bytes: vec![n, 0, 255, n] }
}

fn new(tenant: &TenantId, version: u32, n: u8) -> NewDataKey {
    NewDataKey { tenant: tenant.clone(), version, wrapped: wrapped(n), check: [n; 32] }
}

fn holds(stored: &StoredDataKey, version: u32, n: u8) -> bool {
    let live = KeyState::Live { wrapped: wrapped(n), check: [n; 32] };
    stored.version == version && stored.state == live
}

fn kind<T>(result: Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

async fn pages_are_complete_and_in_order(store: &Store) -> Outcome {
    let scope = platform()?;
    let ids = ["pa", "pb", "pc", "pd", "pe"].map(TenantId::parse);
    let tenants = ids.into_iter().collect::<Result<Vec<_>>>()?;
    for tenant in tenants.iter().rev() {
        store.first(&scope, new(tenant, 1, 1)).await?;
        store.rotate(&scope, new(tenant, 2, 2)).await?;
    }
    store.shred(&scope, &tenants[3]).await?;
    let expected: Vec<_> = [0, 1, 2, 4].map(|i| tenants[i].clone()).into();
    for limit in [1, 3, 4, 100] {
        let (mut seen, mut after) = (Vec::new(), None);
        for _ in 0..6 {
            let page = store.tenants(&scope, after.as_ref(), limit).await?;
            ensure(page.len() <= limit as usize, "a page is longer than asked for")?;
            after = page.last().cloned().or(after);
            seen.extend(page);
        }
        ensure(seen == expected, format!("with limit {limit}: {seen:?}"))?;
    }
    let names = store.wrapping_keys(&scope).await?;
    let expected = [("test:1".to_owned(), 4), ("test:2".to_owned(), 4)];
    ensure(names == expected, format!("live keys are wrapped by {names:?}"))
}

async fn one_first_key(store: &Store) -> Outcome {
    let (scope, tenant) = (platform()?, TenantId::parse("first")?);
    ensure(store.newest(&scope, &tenant).await?.is_none(), "a tenant without keys has one")?;
    let mut racers = tokio::task::JoinSet::new();
    for n in 0..8 {
        let (store, scope, key) = (store.clone(), scope.clone(), new(&tenant, 1, n));
        racers.spawn(async move { store.first(&scope, key).await });
    }
    let mut answers = Vec::new();
    while let Some(joined) = racers.join_next().await {
        answers.push(joined.map_err(|error| error.to_string())??);
    }
    let kept = store.all(&scope, &tenant).await?;
    ensure(kept.len() == 1, format!("{} first keys were kept", kept.len()))?;
    ensure((0..8).any(|n| holds(&kept[0], 1, n)), format!("the kept key is none of the offered: {kept:?}"))?;
    ensure(answers.iter().all(|answer| *answer == kept[0]), "one who came too late was told otherwise")?;
    let late = store.first(&scope, new(&tenant, 1, 9)).await?;
    ensure(late == kept[0], "a first key was replaced")?;
    ensure(store.newest(&scope, &tenant).await?.as_ref() == kept.first(), "the newest key is another")?;
    ensure(store.find(&scope, &tenant, 1).await?.as_ref() == kept.first(), "the key found is another")
}

async fn one_next_key(store: &Store) -> Outcome {
    let (scope, tenant) = (platform()?, TenantId::parse("next")?);
    let early = store.rotate(&scope, new(&tenant, 1, 1)).await;
    ensure(kind(early) == Some(ErrorKind::NotFound), "a tenant without keys was rotated")?;
    store.first(&scope, new(&tenant, 1, 0)).await?;
    let mut racers = tokio::task::JoinSet::new();
    for n in 1..=8 {
        let (store, scope, key) = (store.clone(), scope.clone(), new(&tenant, 2, n));
        racers.spawn(async move { store.rotate(&scope, key).await });
    }
    let mut won = Vec::new();
    while let Some(joined) = racers.join_next().await {
        match joined.map_err(|error| error.to_string())? {
            Ok(key) => won.push(key),
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            // A database may let a racer wait in vain.
            Err(error) if error.kind() == ErrorKind::Unavailable => {}
            Err(error) => return Err(error.into()),
        }
    }
    ensure(won.len() == 1, format!("{} of 8 racers added a second key", won.len()))?;
    let all = store.all(&scope, &tenant).await?;
    ensure(all.len() == 2 && holds(&all[0], 1, 0) && all[1] == won[0], format!("kept were {all:?}"))?;
    for version in [1, 2, 4] {
        let refused = store.rotate(&scope, new(&tenant, version, 9)).await;
        ensure(kind(refused) == Some(ErrorKind::Conflict), format!("version {version} came behind 2"))?;
    }
    store.rotate(&scope, new(&tenant, 3, 9)).await?;
    let newest = store.newest(&scope, &tenant).await?;
    ensure(newest.is_some_and(|newest| holds(&newest, 3, 9)), "the newest is not what was added last")
}

async fn tenants_are_kept_apart(store: &Store) -> Outcome {
    let (scope, one, two) = (platform()?, TenantId::parse("one")?, TenantId::parse("two")?);
    store.first(&scope, new(&one, 1, 1)).await?;
    store.first(&scope, new(&two, 1, 2)).await?;
    store.shred(&scope, &one).await?;
    let rewrap = Rewrap { version: 1, from: wrapped(1), to: wrapped(3) };
    let refused = store.rewrap(&scope, &two, &[rewrap]).await;
    ensure(kind(refused) == Some(ErrorKind::Conflict), "a tenant's key was replaced for another's")?;
    let kept = store.find(&scope, &two, 1).await?;
    ensure(kept.is_some_and(|kept| holds(&kept, 1, 2)), "one tenant's shredding reached another")
}

async fn no_wrapping_is_lost(store: &Store) -> Outcome {
    let (scope, tenant) = (platform()?, TenantId::parse("rewrap")?);
    store.first(&scope, new(&tenant, 1, 1)).await?;
    store.rotate(&scope, new(&tenant, 2, 2)).await?;
    let (first, second) = (
        Rewrap { version: 1, from: wrapped(1), to: wrapped(11) },
        Rewrap { version: 2, from: wrapped(2), to: wrapped(12) },
    );
    let outdated = Rewrap { from: wrapped(7), ..second.clone() };
    let refused = store.rewrap(&scope, &tenant, &[first.clone(), outdated]).await;
    ensure(kind(refused) == Some(ErrorKind::Conflict), "a key was replaced that is not what it was")?;
    let kept = store.find(&scope, &tenant, 1).await?;
    ensure(kept.is_some_and(|kept| holds(&kept, 1, 1)), "half of a refused call was done")?;
    store.rewrap(&scope, &tenant, &[first.clone(), second]).await?;
    let all = store.all(&scope, &tenant).await?;
    let bears = |key: &StoredDataKey, n: u8, check: u8| {
        key.state == KeyState::Live { wrapped: wrapped(n), check: [check; 32] }
    };
    ensure(all.len() == 2 && bears(&all[0], 11, 1) && bears(&all[1], 12, 2), format!("kept were {all:?}"))?;
    let again = store.rewrap(&scope, &tenant, &[first]).await;
    ensure(kind(again) == Some(ErrorKind::Conflict), "an outdated wrapping was replaced")
}

async fn shredding_is_final(store: &Store) -> Outcome {
    let (scope, tenant) = (platform()?, TenantId::parse("shred")?);
    store.first(&scope, new(&tenant, 1, 1)).await?;
    store.rotate(&scope, new(&tenant, 2, 2)).await?;
    store.rotate(&scope, new(&tenant, 3, 2)).await?;
    let receipt = store.shred(&scope, &tenant).await?;
    ensure(receipt.tenant == tenant && receipt.keys == 3, format!("the receipt says {receipt:?}"))?;
    ensure(receipt.wrapping_keys == ["test:1", "test:2"], format!("the receipt says {receipt:?}"))?;
    let again = store.shred(&scope, &tenant).await?;
    ensure(again == receipt, format!("a second shredding says {again:?}"))?;
    for key in store.all(&scope, &tenant).await? {
        ensure(
            matches!(key.state, KeyState::Destroyed { at, .. } if at == receipt.at),
            format!("{key:?} is left"),
        )?;
    }
    let first = store.first(&scope, new(&tenant, 1, 9)).await?;
    ensure(matches!(first.state, KeyState::Destroyed { .. }), "a shredded tenant got a first key")?;
    let next = store.rotate(&scope, new(&tenant, 4, 9)).await;
    ensure(kind(next) == Some(ErrorKind::NotFound), "a shredded tenant got a next key")?;
    let anew = Rewrap { version: 1, from: wrapped(1), to: wrapped(9) };
    let anew = store.rewrap(&scope, &tenant, &[anew]).await;
    ensure(kind(anew) == Some(ErrorKind::Conflict), "a destroyed key was brought back")?;

    let never = TenantId::parse("never")?;
    let receipt = store.shred(&scope, &never).await?;
    ensure(receipt.keys == 0 && receipt.wrapping_keys.is_empty(), format!("nothing was there: {receipt:?}"))?;
    ensure(store.shred(&scope, &never).await? == receipt, "a second shredding of nothing says otherwise")?;
    let first = store.first(&scope, new(&never, 1, 9)).await?;
    ensure(matches!(first.state, KeyState::Destroyed { .. }), "a key was made after the shredding")
}

async fn nothing_slips_past_a_shredding(store: &Store) -> Outcome {
    let scope = platform()?;
    for round in 0..8 {
        let tenant = TenantId::parse(&format!("race-{round}"))?;
        store.first(&scope, new(&tenant, 1, 1)).await?;
        let rewrap = [Rewrap { version: 1, from: wrapped(1), to: wrapped(3) }];
        let (shredded, _, _) = tokio::join!(
            store.shred(&scope, &tenant),
            store.rotate(&scope, new(&tenant, 2, 2)),
            store.rewrap(&scope, &tenant, &rewrap),
        );
        shredded?;
        let live = |key: &StoredDataKey| matches!(key.state, KeyState::Live { .. });
        let all = store.all(&scope, &tenant).await?;
        ensure(!all.iter().any(live), format!("a key outlived its shredding: {all:?}"))?;
    }
    Ok(())
}

async fn keys_are_bounded(store: &Store) -> Outcome {
    let (scope, tenant) = (platform()?, TenantId::parse("bounded")?);
    store.first(&scope, new(&tenant, 1, 1)).await?;
    for version in 2..=MAX_DATA_KEYS {
        store.rotate(&scope, new(&tenant, version, 2)).await?;
    }
    let refused = store.rotate(&scope, new(&tenant, MAX_DATA_KEYS + 1, 2)).await;
    ensure(kind(refused) == Some(ErrorKind::InvalidInput), "there is no bound")?;
    let all = store.all(&scope, &tenant).await?;
    ensure(all.len() == MAX_DATA_KEYS as usize, format!("{} keys are listed", all.len()))?;
    ensure(all.is_sorted_by_key(|key| key.version), "keys are out of order")
}
