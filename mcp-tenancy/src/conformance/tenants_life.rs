//! The promises of [`TenantStore`](crate::tenant::TenantStore) on deletion, erasure and hierarchy.

use futures_util::future::join_all;
use mcp_core::{
    ErrorKind, PlatformScope,
    clock::Timestamp,
    erase::{Erased, LastLink},
};

use super::{
    Failure, Outcome, ensure, ensure_eq, ensure_error, scope, tenant_id,
    tenants::{Store, new},
};
use crate::tenant::{
    ErasureReceipt, ErasureStep, Name, NewTenant, SchemaName, Tenant, TenantFilter, TenantLimits,
    TenantStatus,
};

const HOUR: std::time::Duration = std::time::Duration::from_secs(3600);

fn project(id: &str, parent: &str) -> Result<NewTenant, Failure> {
    Ok(NewTenant { parent: Some(tenant_id(parent)?), ..new(id)? })
}

fn step(name: &str, rows: u64, at: Timestamp) -> ErasureStep {
    let mut erased = Erased::default();
    erased.count("rows", rows);
    ErasureStep { name: name.to_owned(), finished_at: at, erased }
}

fn receipt(tenant: &Tenant, steps: Vec<ErasureStep>) -> ErasureReceipt {
    ErasureReceipt {
        tenant: tenant.id.clone(),
        parent: tenant.parent.clone(),
        region: tenant.profile.region.clone(),
        requested_at: tenant.created_at,
        started_at: tenant.created_at,
        finished_at: tenant.created_at,
        steps,
    }
}

async fn due(store: &Store, scope: &PlatformScope) -> Result<Vec<String>, Failure> {
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        // In pages of one, so that paging is shown with it.
        let page = store.due(scope, after.as_ref(), 1).await?;
        let Some(last) = page.last() else { return Ok(ids) };
        ensure(page.len() == 1, format!("a page of one has {}", page.len()))?;
        after = Some(last.id.clone());
        ids.extend(page.into_iter().map(|tenant| tenant.id.to_string()));
    }
}

/// Deletes it at once and erases it.
async fn erase(store: &Store, scope: &PlatformScope, tenant: &Tenant) -> Result<Tenant, Failure> {
    store.delete(scope, &tenant.id, tenant.created_at).await?;
    store.begin_erasure(scope, &tenant.id).await?;
    Ok(store.erased(scope, &receipt(tenant, vec![step("database", 1, tenant.created_at)])).await?)
}

pub(super) async fn a_deleted_tenant_has_a_way_back(store: Store) -> Outcome {
    let scope = scope()?;
    for status in [TenantStatus::Active, TenantStatus::Suspended] {
        let mut before = store.create(&scope, new(status.as_str())?).await?;
        if status == TenantStatus::Suspended {
            before = store.suspend(&scope, &before.id).await?;
        }
        let id = &before.id;
        ensure_eq(store.restore(&scope, id).await?, before.clone(), "restoring what is not deleted")?;
        let later = before.created_at.after(HOUR);
        let deleted = store.delete(&scope, id, later).await?;
        let deletion = deleted.deletion.clone().ok_or("a deleted tenant has no deletion".to_owned())?;
        ensure_eq(
            (deleted.status, deleted.version),
            (TenantStatus::Deleting, before.version + 1),
            "deleted",
        )?;
        ensure(deleted.revision > before.revision, "deleting gave no new revision")?;
        ensure_eq((deletion.erase_after, deletion.restores_to), (later, status), "the deletion")?;
        ensure_eq(&deleted.profile, &before.profile, "the profile of a deleted tenant")?;
        ensure(!deleted.is_active(), "a deleted tenant is active")?;
        let again = join_all((0..4).map(|_| store.delete(&scope, id, later.after(HOUR)))).await;
        for again in again {
            ensure_eq(again?, deleted.clone(), "deleting a deleted tenant")?;
        }
        ensure_eq(store.get(&scope, id).await?, Some(deleted.clone()), "what is stored")?;
        for (what, refused) in [
            ("suspending a deleted tenant", store.suspend(&scope, id).await),
            ("resuming a deleted tenant", store.resume(&scope, id).await),
            ("updating a deleted tenant", {
                store.update(&scope, id, before.profile.clone(), deleted.version).await
            }),
        ] {
            ensure_error(refused, ErrorKind::Conflict, what)?;
        }
        let restored = store.restore(&scope, id).await?;
        ensure_eq((restored.status, restored.version), (status, before.version + 2), "restored")?;
        ensure_eq((&restored.deletion, &restored.profile), (&None, &before.profile), "what is left of it")?;
        ensure_eq(store.restore(&scope, id).await?, restored, "restoring again")?;
    }
    Ok(())
}

pub(super) async fn nothing_is_erased_before_its_time(store: Store) -> Outcome {
    let scope = scope()?;
    let (early, late) =
        (store.create(&scope, new("early")?).await?, store.create(&scope, new("late")?).await?);
    ensure_error(
        store.begin_erasure(&scope, &early.id).await,
        ErrorKind::Conflict,
        "erasing an active tenant",
    )?;
    store.delete(&scope, &early.id, early.created_at.after(HOUR)).await?;
    store.delete(&scope, &late.id, late.created_at).await?;
    ensure_eq(due(&store, &scope).await?, vec!["late".to_owned()], "who is due")?;
    ensure_error(
        store.begin_erasure(&scope, &early.id).await,
        ErrorKind::Conflict,
        "erasing within the grace",
    )?;
    let of = receipt(&late, vec![]);
    ensure_error(store.erased(&scope, &of).await, ErrorKind::Conflict, "a receipt before erasing has begun")?;
    ensure_eq(store.receipt(&scope, &late.id).await?, None, "the receipt")?;
    let begun = store.begin_erasure(&scope, &late.id).await?;
    ensure_eq(begun.status, TenantStatus::Deleting, "its status while it is erased")?;
    ensure(begun.deletion.as_ref().is_some_and(|it| it.erasing_since.is_some()), "it is not noted")?;
    ensure_eq(store.begin_erasure(&scope, &late.id).await?, begun, "beginning twice")?;
    ensure_error(store.restore(&scope, &late.id).await, ErrorKind::Conflict, "restoring what is erased")?;
    ensure_eq(due(&store, &scope).await?, vec!["late".to_owned()], "who is due while it is erased")?;
    store.restore(&scope, &early.id).await.map(drop).map_err(Failure::from)
}

pub(super) async fn an_erased_tenant_is_a_tombstone(store: Store) -> Outcome {
    let scope = scope()?;
    let mut given = new("acme")?;
    given.profile.features = [Name::parse("ml_inference")?].into();
    given.profile.limits.requests_per_minute = std::num::NonZeroU32::MAX;
    given.idempotency_key = Some("once".to_owned());
    let created = store.create(&scope, given.clone()).await?;
    let other = store.create(&scope, new("beta")?).await?;
    let tombstone = erase(&store, &scope, &created).await?;
    ensure_eq(tombstone.status, TenantStatus::Erased, "the status of a tombstone")?;
    let profile = &tombstone.profile;
    ensure_eq((profile.name.as_str(), profile.features.len()), ("", 0), "name and features")?;
    ensure_eq(profile.limits, TenantLimits::default(), "limits")?;
    ensure_eq((&tombstone.id, &tombstone.schema), (&created.id, &created.schema), "id and schema")?;
    ensure(tombstone.revision > other.revision, "erasing gave no new revision")?;
    ensure_eq(store.get(&scope, &created.id).await?, Some(tombstone.clone()), "what is stored")?;
    ensure_eq(due(&store, &scope).await?, vec![], "who is due")?;
    let again = receipt(&created, vec![]);
    ensure_eq(store.erased(&scope, &again).await?, tombstone.clone(), "erasing it again")?;
    ensure_eq(
        store.delete(&scope, &created.id, created.created_at).await?,
        tombstone.clone(),
        "deleting it",
    )?;
    for (what, refused) in [
        ("restore", store.restore(&scope, &created.id).await),
        ("suspend", store.suspend(&scope, &created.id).await),
        ("resume", store.resume(&scope, &created.id).await),
        ("update", store.update(&scope, &created.id, other.profile.clone(), tombstone.version).await),
    ] {
        ensure_error(refused, ErrorKind::Conflict, what)?;
    }
    ensure_error(
        store.create(&scope, given).await,
        ErrorKind::AlreadyExists,
        "its id for another, by its key",
    )?;
    ensure_error(store.create(&scope, new("acme")?).await, ErrorKind::AlreadyExists, "its id for another")?;
    let schema = NewTenant { schema: SchemaName::parse("acme")?, ..new("gamma")? };
    ensure_error(store.create(&scope, schema).await, ErrorKind::AlreadyExists, "its schema for another")?;
    ensure_eq(store.get(&scope, &other.id).await?, Some(other), "another tenant")
}

pub(super) async fn what_an_erasure_did_is_kept(store: Store) -> Outcome {
    let scope = scope()?;
    let created = store.create(&scope, new("acme")?).await?;
    let (first, second) =
        (step("fleet", 2, created.created_at), step("database", 40, created.created_at.after(HOUR)));
    let nobody = store.record_step(&scope, &tenant_id("nobody")?, &first).await;
    ensure_error(nobody, ErrorKind::NotFound, "a step of nobody")?;
    store.delete(&scope, &created.id, created.created_at).await?;
    store.begin_erasure(&scope, &created.id).await?;
    for step in [&first, &second, &step("fleet", 0, created.created_at.after(2 * HOUR))] {
        store.record_step(&scope, &created.id, step).await?;
    }
    let steps = vec![first, second];
    ensure_eq(store.steps(&scope, &created.id).await?, steps.clone(), "the steps")?;
    ensure_eq(store.receipt(&scope, &created.id).await?, None, "a receipt before the end")?;
    let mut of = receipt(&created, steps);
    of.steps[1].erased.last_link = Some(LastLink { seq: 7, hash: "ab".repeat(32), unsealed: 1 });
    store.erased(&scope, &of).await?;
    store.erased(&scope, &receipt(&created, vec![])).await?;
    ensure_eq(store.receipt(&scope, &created.id).await?, Some(of), "the receipt")?;
    ensure_eq(store.receipt(&scope, &tenant_id("nobody")?).await?, None, "the receipt of nobody")
}

pub(super) async fn no_project_without_its_organisation(store: Store) -> Outcome {
    let scope = scope()?;
    let lonely = store.create(&scope, project("web", "acme")?).await;
    ensure_error(lonely, ErrorKind::NotFound, "a project of nobody")?;
    let own = store.create(&scope, project("own", "own")?).await;
    ensure_error(own, ErrorKind::InvalidInput, "a project of itself")?;
    let organisation = store.create(&scope, new("acme")?).await?;
    let made = store.create(&scope, project("web", "acme")?).await?;
    ensure_eq(made.parent.as_ref(), Some(&organisation.id), "the parent of a project")?;
    ensure_eq(store.get(&scope, &made.id).await?, Some(made.clone()), "the project that is stored")?;
    let third = store.create(&scope, project("page", "web")?).await;
    ensure_error(third, ErrorKind::InvalidInput, "a project of a project")?;
    store.suspend(&scope, &organisation.id).await?;
    let closed = store.create(&scope, project("late", "acme")?).await;
    ensure_error(closed, ErrorKind::Conflict, "a project of a suspended organisation")?;
    ensure_eq(store.get(&scope, &made.id).await?, Some(made), "the project of a suspended organisation")?;
    store.resume(&scope, &organisation.id).await?;
    store.delete(&scope, &organisation.id, organisation.created_at.after(HOUR)).await?;
    let closed = store.create(&scope, project("late", "acme")?).await;
    ensure_error(closed, ErrorKind::Conflict, "a project of a deleted organisation").map(drop)
}

pub(super) async fn an_organisation_goes_after_its_projects(store: Store) -> Outcome {
    let scope = scope()?;
    let organisation = store.create(&scope, new("acme")?).await?;
    let web = store.create(&scope, project("web", "acme")?).await?;
    let app = store.create(&scope, project("app", "acme")?).await?;
    store.delete(&scope, &app.id, app.created_at.after(HOUR)).await?;
    store.delete(&scope, &organisation.id, organisation.created_at).await?;
    ensure_eq(due(&store, &scope).await?, vec!["acme".to_owned()], "who is due at first")?;
    ensure_error(
        store.begin_erasure(&scope, &web.id).await,
        ErrorKind::Conflict,
        "a project before its time",
    )?;
    store.begin_erasure(&scope, &organisation.id).await?;
    ensure_error(store.restore(&scope, &app.id).await, ErrorKind::Conflict, "restoring a project of it")?;
    let all = ["acme", "app", "web"].map(str::to_owned).to_vec();
    ensure_eq(due(&store, &scope).await?, all, "who is due once it is erased")?;
    let early = store.erased(&scope, &receipt(&organisation, vec![])).await;
    ensure_error(early, ErrorKind::Conflict, "an organisation before its projects")?;
    for project in [&web, &app] {
        let begun = store.begin_erasure(&scope, &project.id).await?;
        ensure_eq(begun.status, TenantStatus::Deleting, "the status of its projects")?;
        store.erased(&scope, &receipt(project, vec![])).await?;
    }
    let gone = store.erased(&scope, &receipt(&organisation, vec![])).await?;
    ensure_eq(gone.status, TenantStatus::Erased, "the status of the organisation")?;
    ensure_eq(due(&store, &scope).await?, vec![], "who is due at last")
}

pub(super) async fn lists_are_filtered(store: Store) -> Outcome {
    let scope = scope()?;
    for id in ["a", "b", "c", "d"] {
        store.create(&scope, new(id)?).await?;
    }
    for id in ["b1", "b2", "b3"] {
        store.create(&scope, project(id, "b")?).await?;
    }
    store.suspend(&scope, &tenant_id("b2")?).await?;
    let gone = store.get(&scope, &tenant_id("d")?).await?.ok_or("d is not there".to_owned())?;
    store.delete(&scope, &tenant_id("c")?, gone.created_at.after(HOUR)).await?;
    erase(&store, &scope, &gone).await?;
    let filter = |status, parent: Option<&str>| {
        Ok::<_, Failure>(TenantFilter { status, parent: parent.map(tenant_id).transpose()? })
    };
    for (filter, expected) in [
        (filter(None, None)?, vec!["a", "b", "b1", "b2", "b3", "c", "d"]),
        (filter(None, Some("b"))?, vec!["b1", "b2", "b3"]),
        (filter(None, Some("a"))?, vec![]),
        (filter(Some(TenantStatus::Active), None)?, vec!["a", "b", "b1", "b3"]),
        (filter(Some(TenantStatus::Suspended), None)?, vec!["b2"]),
        (filter(Some(TenantStatus::Deleting), None)?, vec!["c"]),
        (filter(Some(TenantStatus::Erased), None)?, vec!["d"]),
        (filter(Some(TenantStatus::Active), Some("b"))?, vec!["b1", "b3"]),
    ] {
        let (mut seen, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let page = store.list(&scope, &filter, cursor.as_deref(), 2).await?;
            ensure(page.items.len() <= 2, "a page is over its limit")?;
            ensure(seen.len() <= 7, format!("the list does not end with {filter:?}"))?;
            seen.extend(page.items.into_iter().map(|tenant| tenant.id.to_string()));
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        ensure_eq(seen, expected.into_iter().map(str::to_owned).collect(), &format!("{filter:?}"))?;
    }
    Ok(())
}
