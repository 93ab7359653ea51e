//! What each step of a tenant's life requires and makes of it, the same on every backend: `None` where it is done
//! already.

use mcp_core::{Error, ErrorKind, Result, clock::Timestamp, scope::TenantId};

use super::{Deletion, NewTenant, Tenant, TenantLimits, TenantProfile, TenantStatus};

/// A step in words: its operation, the audit record's verb and the event's.
#[cfg_attr(
    not(any(feature = "sqlite", feature = "postgres")),
    expect(dead_code, reason = "stores in memory keep neither records nor events")
)]
pub(super) struct Words {
    pub(super) operation: &'static str,
    pub(super) verb: &'static str,
    pub(super) done: &'static str,
}

const fn words(operation: &'static str, verb: &'static str, done: &'static str) -> Words {
    Words { operation, verb, done }
}

pub(super) const CREATE: Words = words("tenant.create", "create", "created");
pub(super) const UPDATE: Words = words("tenant.update", "update", "updated");
pub(super) const SUSPEND: Words = words("tenant.suspend", "suspend", "suspended");
pub(super) const RESUME: Words = words("tenant.resume", "resume", "resumed");
pub(super) const DELETE: Words = words("tenant.delete", "delete", "deleted");
pub(super) const RESTORE: Words = words("tenant.restore", "restore", "restored");
/// As [`ERASURE_BEGUN`](mcp_core::audit::ERASURE_BEGUN) says.
pub(super) const ERASING: Words = words("tenant.erasing", "erasing", "erasing");
/// As [`ERASURE_ENDED`](mcp_core::audit::ERASURE_ENDED) says.
pub(super) const ERASE: Words = words("tenant.erase", "erase", "erased");

/// What a project needs of its organisation.
pub(super) fn check_parent(new: &NewTenant, parent: Option<&Tenant>) -> Result<()> {
    let Some(id) = &new.parent else { return Ok(()) };
    let parent = parent.ok_or_else(|| {
        Error::not_found(CREATE.operation, format!("there is no tenant `{id}` to be the `parent`"))
    })?;
    if parent.parent.is_some() {
        let message = format!("`{id}` is a project itself; the `parent` must be an organisation");
        return Err(Error::invalid_input(CREATE.operation, message));
    }
    if !parent.is_active() {
        let status = parent.status.as_str();
        let message =
            format!("the organisation `{id}` is {status}; its projects can be created while it is active");
        return Err(Error::new(ErrorKind::Conflict, CREATE.operation, message));
    }
    Ok(())
}

pub(super) fn update(tenant: &Tenant, profile: TenantProfile) -> Result<Tenant> {
    require_kept(tenant, UPDATE.operation)?;
    if tenant.profile.region != profile.region {
        let message = format!(
            "the data of `{}` lives in the region `{}`, which cannot be changed",
            tenant.id, tenant.profile.region
        );
        return Err(Error::new(ErrorKind::Unsupported, UPDATE.operation, message));
    }
    Ok(Tenant { profile, ..tenant.clone() })
}

pub(super) fn suspend(tenant: &Tenant) -> Result<Option<Tenant>> {
    require_kept(tenant, SUSPEND.operation)?;
    Ok(with_status(tenant, TenantStatus::Suspended))
}

pub(super) fn resume(tenant: &Tenant) -> Result<Option<Tenant>> {
    require_kept(tenant, RESUME.operation)?;
    Ok(with_status(tenant, TenantStatus::Active))
}

fn with_status(tenant: &Tenant, status: TenantStatus) -> Option<Tenant> {
    (tenant.status != status).then(|| Tenant { status, ..tenant.clone() })
}

pub(super) fn delete(tenant: &Tenant, now: Timestamp, erase_after: Timestamp) -> Option<Tenant> {
    tenant.deletion.is_none().then(|| deleting(tenant, now, erase_after))
}

fn deleting(tenant: &Tenant, now: Timestamp, erase_after: Timestamp) -> Tenant {
    let deletion = Deletion {
        deleted_at: now,
        erase_after,
        restores_to: tenant.status,
        erasing_since: None,
        erased_at: None,
    };
    Tenant { status: TenantStatus::Deleting, deletion: Some(deletion), ..tenant.clone() }
}

/// `parent` is the tenant's organisation, if it has one.
pub(super) fn restore(tenant: &Tenant, parent: Option<&Tenant>) -> Result<Option<Tenant>> {
    let Some(deletion) = &tenant.deletion else { return Ok(None) };
    if deletion.erasing_since.is_some() || parent.is_some_and(is_erasing) {
        return Err(too_late(&tenant.id));
    }
    Ok(Some(Tenant { status: deletion.restores_to, deletion: None, ..tenant.clone() }))
}

/// The first step behind which there is no way back.
pub(super) fn begin_erasure(
    tenant: &Tenant,
    parent: Option<&Tenant>,
    now: Timestamp,
) -> Result<Option<Tenant>> {
    let mut begun = match &tenant.deletion {
        Some(deletion) if deletion.erasing_since.is_some() => return Ok(None),
        Some(_) => tenant.clone(),
        // The organisation goes with all that it has.
        None => deleting(tenant, now, now),
    };
    let due = tenant.deletion.as_ref().is_some_and(|deletion| deletion.erase_after <= now);
    if !due && !parent.is_some_and(is_erasing) {
        let message = format!("the tenant `{}` is not deleted, or its grace has not passed", tenant.id);
        return Err(Error::new(ErrorKind::Conflict, ERASING.operation, message));
    }
    if let Some(deletion) = &mut begun.deletion {
        deletion.erasing_since = Some(now);
    }
    Ok(Some(begun))
}

/// The tombstone: what is left of a tenant. `projects` says whether some of its own are left.
pub(super) fn erased(tenant: &Tenant, projects: bool, now: Timestamp) -> Result<Option<Tenant>> {
    let refused = |why: &str| {
        let message = format!("the tenant `{}` {why}", tenant.id);
        Err(Error::new(ErrorKind::Conflict, ERASE.operation, message))
    };
    match &tenant.deletion {
        Some(deletion) if deletion.erased_at.is_some() => Ok(None),
        Some(Deletion { erasing_since: Some(_), .. }) if projects => {
            refused("has projects that are not erased yet")
        }
        Some(deletion) if deletion.erasing_since.is_some() => {
            let deletion = Deletion { erased_at: Some(now), ..deletion.clone() };
            let TenantProfile { tier, region, .. } = tenant.profile.clone();
            let profile = TenantProfile {
                name: String::new(),
                features: Default::default(),
                limits: TenantLimits::default(),
                tier,
                region,
            };
            let tombstone =
                Tenant { status: TenantStatus::Erased, profile, deletion: Some(deletion), ..tenant.clone() };
            Ok(Some(tombstone))
        }
        _ => refused("is not being erased"),
    }
}

/// Whether the tenant waits to be erased at `now`, or is in the middle of it.
pub(super) fn is_due(tenant: &Tenant, parent: Option<&Tenant>, now: Timestamp) -> bool {
    match &tenant.deletion {
        Some(deletion) if deletion.erased_at.is_some() => false,
        Some(deletion) if deletion.erasing_since.is_some() || deletion.erase_after <= now => true,
        _ => parent.is_some_and(is_erasing),
    }
}

fn is_erasing(tenant: &Tenant) -> bool {
    tenant.deletion.as_ref().is_some_and(|deletion| deletion.erasing_since.is_some())
}

/// Refuses to change a tenant that is deleted.
fn require_kept(tenant: &Tenant, operation: &'static str) -> Result<()> {
    match tenant.status {
        TenantStatus::Active | TenantStatus::Suspended => Ok(()),
        TenantStatus::Deleting => {
            let message = format!("the tenant `{}` is deleted; restore it first", tenant.id);
            Err(Error::new(ErrorKind::Conflict, operation, message))
        }
        TenantStatus::Erased => {
            let message = format!("the tenant `{}` is erased, for ever", tenant.id);
            Err(Error::new(ErrorKind::Conflict, operation, message))
        }
    }
}

fn too_late(id: &TenantId) -> Error {
    let message =
        format!("the tenant `{id}` is being erased, or is so already; it cannot be restored any more");
    Error::new(ErrorKind::Conflict, RESTORE.operation, message)
}
