//! Leases with fencing tokens: of several replicas, one does a thing.
//!
//! A lease alone keeps nobody from acting late: a holder may be stopped for longer than its lease lasts and
//! go on without noticing. So every acquisition gets a higher *token*, and what the lease guards refuses a
//! token lower than one it has seen.

mod memory;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::time::Duration;

use async_trait::async_trait;

pub use memory::MemoryLeases;
#[cfg(feature = "postgres")]
pub use postgres::PgLeases;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteLeases;

use crate::{
    clock::Timestamp,
    error::{Error, Result},
    scope::PlatformScope,
};

/// A lease that was acquired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// What is leased.
    pub name: String,
    /// Who holds it: unique to the process, not only to the machine.
    pub owner: String,
    /// The fencing token: higher than that of every earlier holder.
    pub token: i64,
    /// When it ends, by the database's clock, unless it is renewed.
    pub expires_at: Timestamp,
}

/// Where leases are kept.
///
/// # What it promises
/// 1. At any moment at most one owner holds a name, by the store's clock.
/// 2. Each acquisition has a higher token than all before it, releases and expiries included.
/// 3. Renewing and releasing take owner *and* token: an earlier holder can do neither, even under its name.
/// 4. A lease that has ended cannot be renewed.
/// 5. Whoever gets an error does not hold the lease.
#[async_trait]
pub trait Leases: Send + Sync + std::fmt::Debug {
    /// Takes the lease for `ttl` if nobody holds it; `None` if somebody does, be it the same owner.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a name or an owner of no or over 200 bytes and a
    /// `ttl` of no or over 24 hours; those of the store. The lease counts as not acquired then.
    ///
    /// # Cancellation
    /// The lease may have been taken; it ends with its `ttl`.
    async fn acquire(
        &self,
        scope: &PlatformScope,
        name: &str,
        owner: &str,
        ttl: Duration,
    ) -> Result<Option<Lease>>;

    /// Lets the lease last `ttl` from now; `None` if it has ended or is another's.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire). The lease counts as lost then.
    async fn renew(&self, scope: &PlatformScope, lease: &Lease, ttl: Duration) -> Result<Option<Lease>>;

    /// Ends the lease, if it is still this holder's.
    ///
    /// # Errors
    /// Those of the store; the lease ends with its time then.
    async fn release(&self, scope: &PlatformScope, lease: &Lease) -> Result<()>;
}

const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The `ttl` in microseconds.
fn checked(name: &str, owner: &str, ttl: Duration) -> Result<i64> {
    for (field, text) in [("name", name), ("owner", owner)] {
        if text.is_empty() || text.len() > 200 {
            let message = format!("the {field} of a lease must have 1 to 200 bytes");
            return Err(Error::invalid_input("lease.acquire", message));
        }
    }
    match i64::try_from(ttl.as_micros()) {
        Ok(micros) if micros > 0 && ttl <= LONGEST => Ok(micros),
        _ => {
            Err(Error::invalid_input("lease.acquire", "a lease must last more than nothing and at most 24 h"))
        }
    }
}
