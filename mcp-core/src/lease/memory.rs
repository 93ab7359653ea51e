//! Leases in memory: the backend to read first, between the tasks of one process.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

use super::{Lease, Leases, checked};
use crate::{
    clock::{Clock, Timestamp},
    error::{Error, Result},
    scope::PlatformScope,
};

/// Names that may be leased at all.
const MOST: usize = 10_000;

/// Leases that the process alone knows, and that end with it.
#[derive(Debug, Clone)]
pub struct MemoryLeases {
    clock: Arc<dyn Clock>,
    leases: Arc<Mutex<HashMap<String, Lease>>>,
}

impl MemoryLeases {
    /// No leases yet; this clock says when they end.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, leases: Arc::default() }
    }

    fn leases(&self) -> std::sync::MutexGuard<'_, HashMap<String, Lease>> {
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Leases for MemoryLeases {
    async fn acquire(
        &self,
        _scope: &PlatformScope,
        name: &str,
        owner: &str,
        ttl: Duration,
    ) -> Result<Option<Lease>> {
        checked(name, owner, ttl)?;
        let (now, mut leases) = (self.clock.now(), self.leases());
        let before = leases.get(name);
        if before.is_some_and(|lease| lease.expires_at > now) {
            return Ok(None);
        }
        if before.is_none() && leases.len() >= MOST {
            let message = format!("at most {MOST} names can be leased in memory; use a database");
            return Err(Error::unavailable("lease.acquire", message));
        }
        let token = before.map_or(1, |lease| lease.token + 1);
        let lease =
            Lease { name: name.to_owned(), owner: owner.to_owned(), token, expires_at: now.after(ttl) };
        leases.insert(name.to_owned(), lease.clone());
        Ok(Some(lease))
    }

    async fn renew(&self, _scope: &PlatformScope, lease: &Lease, ttl: Duration) -> Result<Option<Lease>> {
        checked(&lease.name, &lease.owner, ttl)?;
        let (now, mut leases) = (self.clock.now(), self.leases());
        let held = leases.get_mut(&lease.name).filter(|held| is(held, lease) && held.expires_at > now);
        Ok(held.map(|held| {
            held.expires_at = now.after(ttl);
            held.clone()
        }))
    }

    async fn release(&self, _scope: &PlatformScope, lease: &Lease) -> Result<()> {
        // The entry stays, so that the next token is higher.
        if let Some(held) = self.leases().get_mut(&lease.name).filter(|held| is(held, lease)) {
            held.expires_at = Timestamp::from_micros(0);
        }
        Ok(())
    }
}

fn is(held: &Lease, lease: &Lease) -> bool {
    held.owner == lease.owner && held.token == lease.token
}
