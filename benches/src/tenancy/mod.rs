//! What it costs to know who asks, for which tenant, and whether it may: beside the libraries called bare.

mod cedar;
mod idle;
mod keys;
mod layers;
mod limits;
mod neighbour;
mod timed;
mod tokens;

use std::{path::Path, sync::Arc, time::Duration};

use mcp_core::{
    PlatformScope, Scope,
    audit::{AuditRecord, Chain, DenialLog},
    scope::{Permissions, Principal, PrincipalId, PrincipalKind, TenantId},
};

pub(crate) use neighbour::flood;

use crate::{Failure, row::Row};

const NAME: &str = "tenancy";

/// What the bench is given.
#[derive(Debug)]
pub(crate) struct Needs<'a> {
    /// The program `mcp-platform`.
    pub(crate) platform: &'a Path,
    /// A superuser's URL.
    pub(crate) database: &'a str,
    pub(crate) redis: &'a str,
    /// Most API keys.
    pub(crate) keys: u32,
}

/// Runs every case.
///
/// # Errors
/// When something does not do what is asked, or refuses.
pub(crate) async fn run(span: Duration, needs: &Needs<'_>) -> Result<Vec<Row>, Failure> {
    let mut rows = tokens::run(span).await?;
    rows.extend(layers::run(span).await?);
    rows.extend(limits::run(span, needs.redis).await?);
    rows.extend(keys::run(span, needs.database, needs.keys).await?);
    rows.extend(idle::run(needs.platform, needs.keys / 100).await?);
    rows.extend(neighbour::run(span, needs.platform).await?);
    Ok(rows)
}

fn operator() -> Result<PlatformScope, Failure> {
    Ok(PlatformScope::new(PrincipalId::parse("bench")?, "measures"))
}

fn tenant() -> Result<TenantId, Failure> {
    Ok(TenantId::parse("bench")?)
}

fn principal(permissions: &[&str]) -> Result<Principal, Failure> {
    Ok(Principal {
        id: PrincipalId::parse("bench")?,
        kind: PrincipalKind::Service,
        permissions: Permissions::parse(permissions.iter().copied())?,
    })
}

fn scope(permissions: &[&str]) -> Result<Scope, Failure> {
    Ok(Scope::new(tenant()?, Arc::new(principal(permissions)?)))
}

/// Where denials go, of which there are none: the benches that use it end with the first refusal.
#[derive(Debug)]
struct NoDenials;

impl DenialLog for NoDenials {
    fn denied(&self, _: Chain, _: AuditRecord) {}
}
