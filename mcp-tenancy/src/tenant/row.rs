//! A tenant as a row, the same on both SQL backends.

use std::num::NonZeroU32;

use mcp_core::{PlatformScope, Result, clock::Timestamp, scope::TenantId};
use serde_json::json;

use super::{
    Deletion, ErasureReceipt, ErasureStep, Name, NewTenant, SchemaName, Tenant, TenantLimits, TenantProfile,
    TenantStatus,
    life::{self, Words},
    receipt,
};
use crate::sql::{Change, damaged};

/// What a tenant is beyond what older programs know, which find it suspended.
macro_rules! status {
    () => {
        "CASE WHEN erased_at IS NOT NULL THEN 'erased' WHEN deleted_at IS NOT NULL THEN 'deleting' ELSE status END"
    };
}

/// The columns of [`Row`], for every `SELECT`.
macro_rules! select {
    ($($rest:expr),+) => {
        concat!(
            "SELECT id, name, features, requests_per_minute, concurrent_contexts, tier, region, ",
            status!(),
            " AS status, schema_name, parent, deleted_at, erase_after, deleted_from, erasing_at, erased_at, \
             created_at, updated_at, version, revision FROM tenant ",
            $($rest),+
        )
    };
}

pub(super) const NEXT_REVISION: &str =
    "UPDATE tenant_revision SET last = last + 1 WHERE slot = 1 RETURNING last";
pub(super) const BY_ID: &str = select!("WHERE id = $1");
pub(super) const BY_KEY: &str = select!("WHERE idempotency_key = $1");
/// With an empty status or parent for any.
pub(super) const PAGE: &str = select!(
    "WHERE id > $1 AND ($3 = '' OR ",
    status!(),
    " = $3) AND ($4 = '' OR parent = $4) ORDER BY id LIMIT $2"
);
pub(super) const CHANGES: &str = select!("WHERE revision > $1 ORDER BY revision LIMIT $2");
pub(super) const DUE: &str = select!(
    "WHERE id > $1 AND erased_at IS NULL AND (erasing_at IS NOT NULL OR erase_after <= $2 \
     OR parent IN (SELECT id FROM tenant WHERE erasing_at IS NOT NULL)) ORDER BY id LIMIT $3"
);
pub(super) const TAKEN: &str = "SELECT id FROM tenant WHERE id = $1 OR schema_name = $2";
pub(super) const HAS_PROJECTS: &str = "SELECT count(*) FROM tenant WHERE parent = $1 AND erased_at IS NULL";
pub(super) const INSERT: &str = "INSERT INTO tenant (id, name, features, requests_per_minute, \
     concurrent_contexts, tier, region, status, schema_name, created_at, updated_at, version, revision, \
     idempotency_key, parent) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";
pub(super) const UPDATE: &str = "UPDATE tenant SET name = $2, features = $3, requests_per_minute = $4, \
     concurrent_contexts = $5, tier = $6, region = $7, status = $8, updated_at = $9, version = $10, \
     revision = $11, deleted_at = $12, erase_after = $13, deleted_from = $14, erasing_at = $15, \
     erased_at = $16, idempotency_key = CASE WHEN $16 IS NULL THEN idempotency_key END WHERE id = $1";
pub(super) const RECORD_STEP: &str = "INSERT INTO tenant_erasure_step (id, step, finished_at, erased) \
     VALUES ($1, $2, $3, $4) ON CONFLICT (id, step) DO NOTHING";
pub(super) const STEPS: &str =
    "SELECT step, finished_at, erased FROM tenant_erasure_step WHERE id = $1 ORDER BY finished_at, step";
pub(super) const KEEP_RECEIPT: &str =
    "INSERT INTO tenant_receipt (id, receipt) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING";
pub(super) const RECEIPT: &str = "SELECT receipt FROM tenant_receipt WHERE id = $1";

/// The columns as the database gives them.
#[derive(sqlx::FromRow)]
pub(super) struct Row {
    id: String,
    name: String,
    features: String,
    requests_per_minute: i64,
    concurrent_contexts: i64,
    tier: String,
    region: String,
    status: String,
    schema_name: String,
    parent: Option<String>,
    deleted_at: Option<i64>,
    erase_after: Option<i64>,
    deleted_from: Option<String>,
    erasing_at: Option<i64>,
    erased_at: Option<i64>,
    created_at: i64,
    updated_at: i64,
    version: i64,
    revision: i64,
}

/// The tenant a row holds.
pub(super) fn tenant(row: Row) -> Result<Tenant> {
    parse(row).map_err(|error| damaged("tenant.read", error))
}

fn parse(row: Row) -> Result<Tenant, Box<dyn std::error::Error + Send + Sync>> {
    let positive = |n: i64| NonZeroU32::try_from(u32::try_from(n)?);
    let limits = TenantLimits {
        requests_per_minute: positive(row.requests_per_minute)?,
        concurrent_contexts: positive(row.concurrent_contexts)?,
    };
    let (tier, region) = (Name::parse(&row.tier)?, Name::parse(&row.region)?);
    let features = serde_json::from_str(&row.features)?;
    let deletion = match row.deleted_at {
        None => None,
        Some(deleted_at) => Some(Deletion {
            deleted_at: Timestamp::from_micros(deleted_at),
            erase_after: Timestamp::from_micros(row.erase_after.unwrap_or(deleted_at)),
            restores_to: TenantStatus::parse(row.deleted_from.as_deref().unwrap_or("suspended"))?,
            erasing_since: row.erasing_at.map(Timestamp::from_micros),
            erased_at: row.erased_at.map(Timestamp::from_micros),
        }),
    };
    Ok(Tenant {
        id: TenantId::parse(&row.id)?,
        profile: TenantProfile { name: row.name, features, limits, tier, region },
        status: TenantStatus::parse(&row.status)?,
        schema: SchemaName::parse(&row.schema_name)?,
        parent: row.parent.as_deref().map(TenantId::parse).transpose()?,
        deletion,
        created_at: Timestamp::from_micros(row.created_at),
        updated_at: Timestamp::from_micros(row.updated_at),
        version: row.version,
        revision: row.revision,
    })
}

/// The status as it is stored: one that older programs know.
pub(super) const fn stored_status(status: TenantStatus) -> TenantStatus {
    match status {
        TenantStatus::Active => TenantStatus::Active,
        TenantStatus::Suspended | TenantStatus::Deleting | TenantStatus::Erased => TenantStatus::Suspended,
    }
}

/// A step as [`STEPS`] gives it.
pub(super) fn step((name, finished_at, erased): (String, i64, String)) -> Result<ErasureStep> {
    let erased = serde_json::from_str(&erased).map_err(|error| damaged("tenant.erase", error))?;
    Ok(ErasureStep { name, finished_at: Timestamp::from_micros(finished_at), erased })
}

/// What a step had, as it is stored.
pub(super) fn erased(step: &ErasureStep) -> Result<String> {
    serde_json::to_string(&step.erased).map_err(|error| damaged("tenant.erase", error))
}

/// The features as they are stored: a JSON array.
pub(super) fn features(profile: &TenantProfile) -> Result<String> {
    serde_json::to_string(&profile.features).map_err(|error| damaged("tenant.write", error))
}

/// The tenant `new` becomes.
pub(super) fn created(new: NewTenant, revision: i64, now: Timestamp) -> Tenant {
    Tenant {
        id: new.id,
        profile: new.profile,
        status: TenantStatus::Active,
        schema: new.schema,
        parent: new.parent,
        deletion: None,
        created_at: now,
        updated_at: now,
        version: 1,
        revision,
    }
}

/// `tenant` after one change more.
pub(super) fn changed(tenant: Tenant, revision: i64, now: Timestamp) -> Tenant {
    Tenant { version: tenant.version + 1, revision, updated_at: now, ..tenant }
}

/// What is written beside a change.
pub(super) fn change(scope: &PlatformScope, words: &Words, tenant: &Tenant) -> Change {
    let mut data = json!({
        "id": tenant.id, "status": tenant.status, "tier": tenant.profile.tier,
        "region": tenant.profile.region, "version": tenant.version, "revision": tenant.revision,
    });
    if let Some(parent) = &tenant.parent {
        data["parent"] = json!(parent);
    }
    if let Some(deletion) = &tenant.deletion {
        data["erase_after"] = json!(deletion.erase_after);
    }
    Change::new(scope, ("tenant", words.verb, words.done), tenant.id.as_str(), data)
}

/// What is written beside a tombstone: it names the receipt's text by its digest, and where the tenant's own chain
/// ended, which is compared with checkpoints that left the database before.
pub(super) fn erasure(
    scope: &PlatformScope,
    tenant: &Tenant,
    receipt: &ErasureReceipt,
    text: &str,
) -> Change {
    let data = json!({
        "id": tenant.id, "status": tenant.status, "region": tenant.profile.region, "version": tenant.version,
        "revision": tenant.revision, "receipt_sha256": receipt::fingerprint(text), "erased": receipt.total(),
        "last_link": receipt.last_link(),
    });
    Change::new(scope, ("tenant", life::ERASE.verb, life::ERASE.done), tenant.id.as_str(), data)
}
