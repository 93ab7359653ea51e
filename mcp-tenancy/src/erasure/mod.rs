//! Erasing deleted tenants once their grace has passed: a workflow that any replica takes up where another left it.
//!
//! The steps are the parts of a platform ([`TenantEraser`]): first those that the platform adds, such as what runs for
//! the tenant; then its issuers and its data keys; last its databases. Each may be done again at any time and is
//! recorded once it is done, so whoever goes on after a crash begins with the step that was not. Then the tenant becomes
//! a tombstone, and the receipt is kept with it and noted in the platform's audit chain, in one transaction.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> mcp_core::Result<()> {
//! use std::{sync::Arc, time::Duration};
//! use mcp_core::{
//!     PlatformScope, clock::SystemClock, lease::MemoryLeases, scope::{PrincipalId, TenantId},
//! };
//! use mcp_tenancy::{Tenancy, TenancyDeps, erasure::{Eraser, ErasureConfig}, tenant::NewTenant, token::TokenConfig};
//!
//! let tokens = TokenConfig::new("https://platform.example", "https://platform.example/mcp");
//! let tenancy = Tenancy::open(TenancyDeps::memory(tokens)?).await?;
//! let admin = PlatformScope::new(PrincipalId::parse("operator")?, "the contract has ended");
//! let acme = TenantId::parse("acme")?;
//! tenancy.create_tenant(&admin, NewTenant::new(acme.clone(), "Acme Corp")).await?;
//! tenancy.delete_tenant(&admin, &acme, Duration::ZERO).await?;
//!
//! let leases = Arc::new(MemoryLeases::new(Arc::new(SystemClock)));
//! let eraser = Eraser::new(&tenancy, leases, Vec::new(), ErasureConfig::default())?;
//! assert_eq!(eraser.round().await?.erased, [acme.clone()]);
//! assert_eq!(tenancy.erasure_receipt(&admin, &acme).await?.tenant, acme);
//! # tenancy.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod parts;
mod round;

use std::{collections::HashSet, sync::Arc, time::Duration};

use mcp_core::{
    Error, PlatformScope, Result,
    clock::Clock,
    erase::TenantEraser,
    lease::{Lease, Leases},
    scope::{PrincipalId, TenantId},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::parts::{DataKeyPart, IssuerPart};
use crate::{
    Tenancy,
    tenant::{TenantDirectory, TenantStore},
};

pub(crate) use parts::MemoryStores;

/// The lease of the one replica that erases.
pub const ERASER_LEASE: &str = "tenant-eraser";

/// How tenants are erased.
#[derive(Debug, Clone, Copy)]
pub struct ErasureConfig {
    /// Time between two looks for tenants whose grace has passed. Default 30 s.
    pub interval: Duration,
    /// How long the lease lasts if its holder dies; it is renewed before every step. Default 5 minutes.
    pub lease: Duration,
}

impl Default for ErasureConfig {
    fn default() -> Self {
        Self { interval: Duration::from_secs(30), lease: Duration::from_secs(300) }
    }
}

/// What one round came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErasureRound {
    /// Whether this replica erases; if not, it did nothing.
    pub leads: bool,
    /// Tenants that were erased.
    pub erased: Vec<TenantId>,
    /// Tenants whose erasure goes on later: a step could not be done yet, or failed; the log says why.
    pub waiting: Vec<TenantId>,
}

/// Erases deleted tenants.
///
/// Of several replicas the holder of a lease does. A step that outlives its lease does no harm, as every step may be
/// done twice, and at once.
#[derive(Debug)]
pub struct Eraser {
    tenants: Arc<dyn TenantStore>,
    directory: Arc<TenantDirectory>,
    clock: Arc<dyn Clock>,
    leases: Arc<dyn Leases>,
    parts: Vec<Arc<dyn TenantEraser>>,
    config: ErasureConfig,
    scope: PlatformScope,
    owner: String,
}

impl Eraser {
    /// Erases what the stores of `tenancy` have, after what `others` have.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) if two parts have one name, or a setting is zero.
    pub fn new(
        tenancy: &Tenancy,
        leases: Arc<dyn Leases>,
        others: Vec<Arc<dyn TenantEraser>>,
        config: ErasureConfig,
    ) -> Result<Self> {
        if config.interval.is_zero() || config.lease.is_zero() {
            let message = "`interval` and `lease` of the eraser must not be zero";
            return Err(Error::invalid_input("tenant.erase", message));
        }
        let mut parts = others;
        parts.push(Arc::new(IssuerPart(tenancy.issuers.store.clone())));
        parts.push(Arc::new(DataKeyPart(tenancy.data_keys.clone())));
        parts.extend(tenancy.erasers.iter().cloned());
        let mut names = HashSet::new();
        if let Some(twice) = parts.iter().find(|part| !names.insert(part.name())) {
            let message = format!("two parts of the platform erase under the name `{}`", twice.name());
            return Err(Error::invalid_input("tenant.erase", message));
        }
        Ok(Self {
            tenants: tenancy.tenants.clone(),
            directory: tenancy.directory().clone(),
            clock: tenancy.clock.clone(),
            leases,
            parts,
            config,
            scope: PlatformScope::new(
                PrincipalId::parse("eraser")?,
                "the grace of a deleted tenant has passed",
            ),
            owner: Uuid::now_v7().to_string(),
        })
    }

    /// Erases whoever is due, until `shutdown`. Its owner spawns and joins it.
    ///
    /// # Cancellation
    /// May be dropped at any await: whoever goes on finds what was done.
    pub async fn run(&self, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(self.config.interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(ticks.tick()).await.is_some() {
            match shutdown.run_until_cancelled(self.round()).await {
                Some(Ok(round)) => {
                    metrics::gauge!("mcp_tenants_waiting_for_erasure").set(round.waiting.len() as f64);
                }
                Some(Err(error)) => {
                    metrics::counter!("mcp_tenant_erasure_errors_total").increment(1);
                    tracing::warn!(
                        error = error.report(),
                        "deleted tenants could not be erased in this round"
                    );
                }
                None => return,
            }
        }
    }

    /// Erases whoever is due now, as far as it can be done now.
    ///
    /// # Errors
    /// Those of the lease and the tenant store. What fails for one tenant is in the log, and does not keep another.
    ///
    /// # Cancellation
    /// As [`run`](Self::run).
    pub async fn round(&self) -> Result<ErasureRound> {
        let taken = self.leases.acquire(&self.scope, ERASER_LEASE, &self.owner, self.config.lease).await?;
        let Some(lease) = taken else { return Ok(ErasureRound::default()) };
        let mut term = Term { lease, lost: false };
        let round = self.erase_due(&mut term).await;
        if !term.lost {
            self.leases.release(&self.scope, &term.lease).await?;
        }
        round
    }
}

/// The time between taking the lease and losing it.
struct Term {
    lease: Lease,
    lost: bool,
}
