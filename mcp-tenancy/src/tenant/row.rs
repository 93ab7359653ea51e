//! A tenant as a row, the same on both SQL backends.

use std::num::NonZeroU32;

use mcp_core::{PlatformScope, Result, clock::Timestamp, scope::TenantId};
use serde_json::json;

use super::{Name, NewTenant, SchemaName, Tenant, TenantLimits, TenantProfile, TenantStatus};
use crate::sql::{Change, damaged};

/// The columns of [`Row`], for every `SELECT`.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, name, features, requests_per_minute, concurrent_contexts, tier, region, status, \
             schema_name, created_at, updated_at, version, revision FROM tenant ",
            $rest
        )
    };
}

pub(super) const NEXT_REVISION: &str =
    "UPDATE tenant_revision SET last = last + 1 WHERE slot = 1 RETURNING last";
pub(super) const BY_ID: &str = select!("WHERE id = $1");
pub(super) const BY_KEY: &str = select!("WHERE idempotency_key = $1");
pub(super) const PAGE: &str = select!("WHERE id > $1 ORDER BY id LIMIT $2");
pub(super) const CHANGES: &str = select!("WHERE revision > $1 ORDER BY revision LIMIT $2");
pub(super) const TAKEN: &str = "SELECT id FROM tenant WHERE id = $1 OR schema_name = $2";
pub(super) const INSERT: &str = "INSERT INTO tenant (id, name, features, requests_per_minute, \
     concurrent_contexts, tier, region, status, schema_name, created_at, updated_at, version, revision, \
     idempotency_key) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
pub(super) const UPDATE: &str = "UPDATE tenant SET name = $2, features = $3, requests_per_minute = $4, \
     concurrent_contexts = $5, tier = $6, region = $7, status = $8, updated_at = $9, version = $10, \
     revision = $11 WHERE id = $1";

/// The columns as the database gives them.
pub(super) type Row = (String, String, String, i64, i64, String, String, String, String, i64, i64, i64, i64);

/// The tenant a row holds.
pub(super) fn tenant(row: Row) -> Result<Tenant> {
    parse(row).map_err(|error| damaged("tenant.read", error))
}

fn parse(row: Row) -> Result<Tenant, Box<dyn std::error::Error + Send + Sync>> {
    let (
        id,
        name,
        features,
        rpm,
        contexts,
        tier,
        region,
        status,
        schema,
        created,
        updated,
        version,
        revision,
    ) = row;
    let positive = |n: i64| NonZeroU32::try_from(u32::try_from(n)?);
    let limits =
        TenantLimits { requests_per_minute: positive(rpm)?, concurrent_contexts: positive(contexts)? };
    let (tier, region) = (Name::parse(&tier)?, Name::parse(&region)?);
    Ok(Tenant {
        id: TenantId::parse(&id)?,
        profile: TenantProfile { name, features: serde_json::from_str(&features)?, limits, tier, region },
        status: TenantStatus::parse(&status)?,
        schema: SchemaName::parse(&schema)?,
        created_at: Timestamp::from_micros(created),
        updated_at: Timestamp::from_micros(updated),
        version,
        revision,
    })
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

/// What is written beside a change. `words` are the audit record's verb and the event's.
pub(super) fn change(
    scope: &PlatformScope,
    (verb, done): (&'static str, &'static str),
    tenant: &Tenant,
) -> Change {
    let data = json!({
        "id": tenant.id, "status": tenant.status, "tier": tenant.profile.tier,
        "region": tenant.profile.region, "version": tenant.version, "revision": tenant.revision,
    });
    Change::new(scope, ("tenant", verb, done), tenant.id.as_str(), data)
}
