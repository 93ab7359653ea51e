//! Deleted tenants are erased in the background, by one replica of all.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use mcp_automation::fleet::{Fleet, ServerState};
use mcp_context::vector::LocalVectorIndex;
use mcp_core::{
    Error, PlatformScope, Result,
    erase::{Erased, TenantEraser},
    scope::TenantId,
};
use mcp_tenancy::{
    erasure::{Eraser, ErasureConfig},
    policy::Authorization,
    tenant::TenantDirectory,
};

use super::Administration;
use crate::config::Config;

/// What erases tenants, and what it begins with: their servers, and what is held and remembered in memory for them.
///
/// Releases of servers are none of it: operators install them for all tenants, and nothing of a tenant is in them.
pub(super) fn eraser(
    config: &Config,
    administration: &Administration,
    fleet: &Arc<Fleet>,
    index: Arc<LocalVectorIndex>,
    authorization: &Authorization,
) -> Result<Eraser> {
    let tenancy = administration.tenancy();
    let servers = Servers { fleet: Arc::clone(fleet), directory: Arc::clone(tenancy.directory()) };
    let interval = Duration::from_secs(config.tenants.erase_interval_seconds);
    let settings = ErasureConfig { interval, ..ErasureConfig::default() };
    let mut others: Vec<Arc<dyn TenantEraser>> = vec![Arc::new(servers), index];
    others.extend(authorization.erasers().iter().cloned());
    Eraser::new(tenancy, administration.leases(), others, settings)
}

/// The servers that run for a tenant in this process. Every replica stops its own once it hears that the tenant is
/// closed, which the databases are given time for.
#[derive(Debug)]
struct Servers {
    fleet: Arc<Fleet>,
    directory: Arc<TenantDirectory>,
}

#[async_trait]
impl TenantEraser for Servers {
    fn name(&self) -> &'static str {
        "servers"
    }

    async fn erase(&self, scope: &PlatformScope, tenant: &TenantId) -> Result<Erased> {
        let closed = self.directory.suspended();
        self.fleet.close_tenants(scope, || closed.borrow().clone());
        let status = self.fleet.status(scope);
        let own = status.iter().filter(|status| status.tenant.as_ref() == Some(tenant));
        match own.filter(|status| status.state != ServerState::Stopped).count() {
            0 => Ok(Erased::default()),
            _ => Err(Error::unavailable("tenant.erase", "servers of the tenant are still stopping")),
        }
    }
}
