//! Placements kept in memory, so that a begin costs no look-up.

use std::{future::Future, time::Duration};

use moka::future::Cache;

use super::Placement;
use crate::{
    error::{Error, Result},
    scope::TenantId,
};

/// A placement does not change once it is ready, until the tenant is deleted; so it may be this old.
const TTL: Duration = Duration::from_secs(60);

pub(crate) fn placements() -> Cache<TenantId, Placement> {
    Cache::builder().max_capacity(10_000).time_to_live(TTL).build()
}

/// The tenant's placement, if it can be used. Only ready ones are kept.
pub(crate) async fn ready(
    cache: &Cache<TenantId, Placement>,
    tenant: &TenantId,
    stored: impl Future<Output = Result<Option<Placement>>>,
) -> Result<Placement> {
    if let Some(placement) = cache.get(tenant).await {
        return Ok(placement);
    }
    let placement = stored.await?.ok_or_else(no_placement)?;
    if !placement.ready {
        return Err(Error::unavailable("sql.begin", "the tenant is still being provisioned; try again"));
    }
    cache.insert(tenant.clone(), placement.clone()).await;
    Ok(placement)
}

pub(crate) fn no_placement() -> Error {
    Error::not_found("sql.placement", "there is no such tenant")
}
