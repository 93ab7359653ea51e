//! The promises of [`TenantStore`].

use std::{collections::HashMap, sync::Arc};

use futures_util::future::join_all;
use mcp_core::{ErrorKind, error::Detail};

use super::{
    Check, Failure, Outcome, ensure, ensure_eq, ensure_error, scope, tenant_id, tenants_life as life,
};
use crate::tenant::{
    Name, NewTenant, SchemaName, Tenant, TenantFilter, TenantProfile, TenantStatus, TenantStore,
};

pub(super) type Store = Arc<dyn TenantStore>;

/// The suite of [`TenantStore`].
pub const TENANT_STORE: &[Check<dyn TenantStore>] = &[
    ("what_is_stored_is_what_was_given", |store| Box::pin(what_is_stored_is_what_was_given(store))),
    ("one_owner_a_name", |store| Box::pin(one_owner_a_name(store))),
    ("one_owner_a_schema", |store| Box::pin(one_owner_a_schema(store))),
    ("trying_again_is_safe", |store| Box::pin(trying_again_is_safe(store))),
    ("no_lost_update", |store| Box::pin(no_lost_update(store))),
    ("suspending_is_idempotent", |store| Box::pin(suspending_is_idempotent(store))),
    ("lists_are_complete_and_in_order", |store| Box::pin(lists_are_complete_and_in_order(store))),
    ("no_skipped_change", |store| Box::pin(no_skipped_change(store))),
    ("what_is_not_there_is_not_found", |store| Box::pin(what_is_not_there_is_not_found(store))),
    ("bad_input_changes_nothing", |store| Box::pin(bad_input_changes_nothing(store))),
    ("a_deleted_tenant_has_a_way_back", |store| Box::pin(life::a_deleted_tenant_has_a_way_back(store))),
    ("nothing_is_erased_before_its_time", |store| Box::pin(life::nothing_is_erased_before_its_time(store))),
    ("an_erased_tenant_is_a_tombstone", |store| Box::pin(life::an_erased_tenant_is_a_tombstone(store))),
    ("what_an_erasure_did_is_kept", |store| Box::pin(life::what_an_erasure_did_is_kept(store))),
    ("no_project_without_its_organisation", |store| {
        Box::pin(life::no_project_without_its_organisation(store))
    }),
    ("an_organisation_goes_after_its_projects", |store| {
        Box::pin(life::an_organisation_goes_after_its_projects(store))
    }),
    ("lists_are_filtered", |store| Box::pin(life::lists_are_filtered(store))),
];

pub(super) fn new(id: &str) -> Result<NewTenant, Failure> {
    Ok(NewTenant::new(tenant_id(id)?, id.to_uppercase()))
}

async fn what_is_stored_is_what_was_given(store: Store) -> Outcome {
    let scope = scope()?;
    let mut given = new("acme")?;
    given.profile.name = "Ácme \"Corp\" 😀 %_\\".to_owned();
    given.profile.features = [Name::parse("ml_inference")?, Name::parse("b")?].into();
    given.profile.limits.requests_per_minute = std::num::NonZeroU32::MAX;
    given.profile.tier = Name::parse("gold")?;
    given.profile.region = Name::parse("eu-west-1")?;
    given.schema = SchemaName::parse("tenant_123")?;
    let created = store.create(&scope, given.clone()).await?;
    ensure_eq(&created.profile, &given.profile, "the profile of a created tenant")?;
    ensure_eq((created.id.as_str(), created.schema.as_str()), ("acme", "tenant_123"), "id and schema")?;
    ensure_eq((created.version, created.status), (1, TenantStatus::Active), "version and status")?;
    ensure(created.revision >= 1, format!("the first revision is {}", created.revision))?;
    ensure_eq(created.created_at, created.updated_at, "the times of a created tenant")?;
    ensure_eq(store.get(&scope, &created.id).await?, Some(created), "what get answers")
}

async fn one_owner_a_name(store: Store) -> Outcome {
    let scope = scope()?;
    let contender = |n: usize| {
        let mut new = new("acme")?;
        new.profile.name = format!("contender {n}");
        new.schema = SchemaName::parse(&format!("s{n}"))?;
        Ok::<_, Failure>(new)
    };
    let contenders = (0..8).map(contender).collect::<Result<Vec<_>, _>>()?;
    let results = join_all(contenders.into_iter().map(|new| store.create(&scope, new))).await;
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    ensure_eq(won.len(), 1, "how many created the same id")?;
    for error in lost {
        ensure_error(error, ErrorKind::AlreadyExists, "a second owner of an id")?;
    }
    let won = won.into_iter().next().transpose()?;
    ensure_eq(store.get(&scope, &tenant_id("acme")?).await?, won, "whom the id belongs to")
}

async fn one_owner_a_schema(store: Store) -> Outcome {
    let scope = scope()?;
    let contender = |n: usize| {
        let mut new = new(&format!("t{n}"))?;
        new.schema = SchemaName::parse("shared")?;
        Ok::<_, Failure>(new)
    };
    let contenders = (0..8).map(contender).collect::<Result<Vec<_>, _>>()?;
    let results = join_all(contenders.into_iter().map(|new| store.create(&scope, new))).await;
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    ensure_eq(won.len(), 1, "how many tenants got the same schema")?;
    for error in lost {
        ensure_error(error, ErrorKind::AlreadyExists, "a second owner of a schema")?;
    }
    ensure_eq(
        store.list(&scope, &TenantFilter::default(), None, 100).await?.items.len(),
        1,
        "how many tenants there are",
    )
}

async fn trying_again_is_safe(store: Store) -> Outcome {
    let scope = scope()?;
    let mut with_key = new("acme")?;
    with_key.idempotency_key = Some("once".to_owned());
    let tries = join_all((0..6).map(|_| store.create(&scope, with_key.clone()))).await;
    let made = tries.into_iter().collect::<Result<Vec<_>, _>>()?;
    let one = made.iter().all(|tenant| *tenant == made[0]);
    ensure(one, format!("tries made different tenants: {made:?}"))?;
    let suspended = store.suspend(&scope, &with_key.id).await?;
    ensure_eq(store.create(&scope, with_key.clone()).await?, suspended, "a later try")?;

    let mut other = new("beta")?;
    other.idempotency_key = with_key.idempotency_key;
    ensure_error(store.create(&scope, other).await, ErrorKind::Conflict, "the key for another tenant")?;
    ensure_eq(store.get(&scope, &tenant_id("beta")?).await?, None, "the other tenant")?;
    let again = store.create(&scope, new("acme")?).await;
    ensure_error(again, ErrorKind::AlreadyExists, "a second try without a key").map(drop)
}

async fn no_lost_update(store: Store) -> Outcome {
    let scope = scope()?;
    let created = store.create(&scope, new("acme")?).await?;
    let profile = |n: usize| TenantProfile { name: format!("writer {n}"), ..created.profile.clone() };
    let writers = (0..8).map(|n| store.update(&scope, &created.id, profile(n), 1));
    let (won, lost): (Vec<_>, Vec<_>) = join_all(writers).await.into_iter().partition(Result::is_ok);
    ensure_eq(won.len(), 1, "how many updates of one version succeeded")?;
    for result in lost {
        let error = ensure_error(result, ErrorKind::Conflict, "an update of a version that is gone")?;
        let named = error.details().contains(&Detail::Conflict { current: 2 });
        ensure(named, format!("the conflict does not name version 2: {:?}", error.details()))?;
    }
    let won = won.into_iter().next().transpose()?;
    ensure_eq(won.as_ref().map(|tenant| tenant.version), Some(2), "the version after one update")?;
    ensure_eq(
        won.as_ref().map(|tenant| tenant.created_at),
        Some(created.created_at),
        "the time of creation",
    )?;
    ensure_eq(store.get(&scope, &created.id).await?, won, "what is stored after the race")?;
    let mut moved = profile(9);
    moved.region = Name::parse("elsewhere")?;
    let moved = store.update(&scope, &created.id, moved, 2).await;
    ensure_error(moved, ErrorKind::Unsupported, "an update to another region")?;
    let future = store.update(&scope, &created.id, profile(9), 3).await;
    ensure_error(future, ErrorKind::Conflict, "an update of a version to come").map(drop)
}

async fn suspending_is_idempotent(store: Store) -> Outcome {
    let scope = scope()?;
    let created = store.create(&scope, new("acme")?).await?;
    ensure_eq(store.resume(&scope, &created.id).await?, created.clone(), "resuming an active tenant")?;
    let suspended = store.suspend(&scope, &created.id).await?;
    ensure_eq((suspended.status, suspended.version), (TenantStatus::Suspended, 2), "status and version")?;
    ensure(suspended.revision > created.revision, "suspending gave no new revision")?;
    ensure_eq(&suspended.profile, &created.profile, "the profile of a suspended tenant")?;
    let again = join_all((0..4).map(|_| store.suspend(&scope, &created.id))).await;
    for again in again {
        ensure_eq(again?, suspended.clone(), "suspending a suspended tenant")?;
    }
    let resumed = store.resume(&scope, &created.id).await?;
    ensure_eq((resumed.status, resumed.version), (TenantStatus::Active, 3), "status and version")
}

async fn lists_are_complete_and_in_order(store: Store) -> Outcome {
    let scope = scope()?;
    let mut ids: Vec<_> = (0..23).map(|n| format!("t-{}", (n * 7) % 23)).collect();
    for id in &ids {
        store.create(&scope, new(id)?).await?;
    }
    ids.sort_unstable();
    for limit in [1, 5, 22, 23, 24, 0, u32::MAX] {
        let (mut seen, mut cursor, mut pages) = (Vec::new(), None::<String>, 0);
        loop {
            let page = store.list(&scope, &TenantFilter::default(), cursor.as_deref(), limit).await?;
            ensure(page.items.len() as u64 <= u64::from(limit.max(1)), format!("over the limit {limit}"))?;
            seen.extend(page.items.into_iter().map(|tenant| tenant.id.to_string()));
            pages += 1;
            ensure(pages <= 30, format!("the list does not end with limit {limit}"))?;
            match page.next_cursor {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        ensure_eq(&seen, &ids, "the tenants listed")?;
    }
    for cursor in ["", "not a cursor", "' OR 1=1 --"] {
        let refused = store.list(&scope, &TenantFilter::default(), Some(cursor), 10).await;
        ensure_error(refused, ErrorKind::InvalidInput, "a cursor nobody gave")?;
    }
    Ok(())
}

/// Readers follow while writers write at the same time: what a reader has seen at the end is what is stored.
async fn no_skipped_change(store: Store) -> Outcome {
    let scope = scope()?;
    let write = async |n: usize| {
        let id = tenant_id(&format!("t{n}"))?;
        store.create(&scope, new(&format!("t{n}"))?).await?;
        for _ in 0..3 {
            store.suspend(&scope, &id).await?;
            store.resume(&scope, &id).await?;
        }
        Ok::<_, Failure>(())
    };
    let done = std::sync::atomic::AtomicBool::new(false);
    let writers = async {
        let results = join_all((0..12).map(write)).await;
        done.store(true, std::sync::atomic::Ordering::SeqCst);
        results.into_iter().collect::<Result<(), _>>()
    };
    let read = async |limit: u32| {
        let (mut seen, mut cursor) = (HashMap::new(), 0);
        loop {
            let last_round = done.load(std::sync::atomic::Ordering::SeqCst);
            let changes = store.changes_since(&scope, cursor, limit).await?;
            let ended = changes.is_empty() && last_round;
            for tenant in changes {
                ensure(tenant.revision > cursor, format!("{} after {cursor}", tenant.revision))?;
                cursor = tenant.revision;
                seen.insert(tenant.id.clone(), tenant);
            }
            if ended {
                return Ok::<HashMap<_, Tenant>, Failure>(seen);
            }
            tokio::task::yield_now().await;
        }
    };
    let (written, few, many) = tokio::join!(writers, read(1), read(100));
    written?;
    let stored = store.list(&scope, &TenantFilter::default(), None, 100).await?.items;
    for (seen, reader) in [(few?, "one at a time"), (many?, "many at a time")] {
        ensure_eq(seen.len(), stored.len(), &format!("tenants seen {reader}"))?;
        for tenant in &stored {
            ensure_eq(seen.get(&tenant.id), Some(tenant), &format!("the last change seen {reader}"))?;
        }
    }
    let mut revisions: Vec<_> = stored.iter().map(|tenant| tenant.revision).collect();
    revisions.sort_unstable();
    revisions.dedup();
    ensure_eq(revisions.len(), stored.len(), "how many different revisions there are")
}

async fn what_is_not_there_is_not_found(store: Store) -> Outcome {
    let (scope, nobody) = (scope()?, tenant_id("nobody")?);
    ensure_eq(store.get(&scope, &nobody).await?, None, "get")?;
    ensure_error(store.suspend(&scope, &nobody).await, ErrorKind::NotFound, "suspend")?;
    ensure_error(store.resume(&scope, &nobody).await, ErrorKind::NotFound, "resume")?;
    let updated = store.update(&scope, &nobody, TenantProfile::named("N"), 1).await;
    ensure_error(updated, ErrorKind::NotFound, "update")?;
    ensure_eq(store.changes_since(&scope, 0, 10).await?, vec![], "changes")?;
    ensure_eq(store.list(&scope, &TenantFilter::default(), None, 10).await?.items, vec![], "list")
}

async fn bad_input_changes_nothing(store: Store) -> Outcome {
    let scope = scope()?;
    let mut nameless = new("acme")?;
    nameless.profile.name = String::new();
    ensure_error(store.create(&scope, nameless.clone()).await, ErrorKind::InvalidInput, "no name")?;
    ensure_eq(store.get(&scope, &nameless.id).await?, None, "the tenant without a name")?;
    let created = store.create(&scope, new("acme")?).await?;
    let updated = store.update(&scope, &created.id, nameless.profile, 1).await;
    ensure_error(updated, ErrorKind::InvalidInput, "an update to no name")?;
    ensure_eq(store.get(&scope, &created.id).await?, Some(created), "what is stored after refusals")
}
