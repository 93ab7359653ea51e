//! Revocations in memory: the readable reference.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use mcp_core::{
    PlatformScope, Result,
    clock::{Clock, SystemClock, Timestamp},
    scope::TenantId,
};

use super::{DeniedToken, MAX_DENIED, Revocation, RevocationChange, RevocationStore, store::too_many};
use crate::tenant::MAX_PAGE;

/// A [`RevocationStore`] in memory. Clones share their revocations.
#[derive(Debug, Clone)]
pub struct MemoryRevocationStore {
    clock: Arc<dyn Clock>,
    max_denied: u32,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// By revision: the order in which they are read.
    changes: BTreeMap<i64, Revocation>,
    last: i64,
}

impl Default for MemoryRevocationStore {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock))
    }
}

impl MemoryRevocationStore {
    /// An empty store.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, max_denied: MAX_DENIED, state: Arc::default() }
    }

    /// The same store for at most `most` denied tokens of a tenant at a time.
    #[must_use]
    pub fn with_max_denied(mut self, most: u32) -> Self {
        self.max_denied = most;
        self
    }

    /// Forgets what is the tenant's; returns how many there were.
    pub(crate) fn erase(&self, tenant: &TenantId) -> u64 {
        let mut state = self.lock();
        let before = state.changes.len();
        state.changes.retain(|_, revocation| match revocation {
            Revocation::Token(token) => token.tenant != *tenant,
            Revocation::All { tenant: of, .. } => of != tenant,
        });
        (before - state.changes.len()) as u64
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Puts `revocation` in the place of the one at `former`, as the newest change.
    fn change(&mut self, former: Option<i64>, revocation: Revocation) -> RevocationChange {
        if let Some(former) = former {
            self.changes.remove(&former);
        }
        self.last += 1;
        self.changes.insert(self.last, revocation.clone());
        RevocationChange { revocation, revision: self.last }
    }

    fn denied(&self) -> impl Iterator<Item = (i64, &DeniedToken)> {
        self.changes.iter().filter_map(|(revision, revocation)| match revocation {
            Revocation::Token(token) => Some((*revision, token)),
            Revocation::All { .. } => None,
        })
    }

    fn epoch(&self, of: &TenantId) -> Option<(i64, Timestamp)> {
        self.changes.iter().find_map(|(revision, revocation)| match revocation {
            Revocation::All { tenant, issued_until } if tenant == of => Some((*revision, *issued_until)),
            _ => None,
        })
    }
}

#[async_trait]
impl RevocationStore for MemoryRevocationStore {
    async fn deny(&self, _: &PlatformScope, token: DeniedToken) -> Result<RevocationChange> {
        let now = self.clock.now();
        token.validate(now)?;
        let mut state = self.lock();
        let same = |known: &DeniedToken| {
            (&known.tenant, &known.issuer, &known.id) == (&token.tenant, &token.issuer, &token.id)
        };
        let former = state.denied().find(|(_, known)| same(known)).map(|(at, known)| (at, known.clone()));
        if let Some((revision, known)) = &former
            && known.expires_at >= token.expires_at
        {
            return Ok(RevocationChange {
                revocation: Revocation::Token(known.clone()),
                revision: *revision,
            });
        }
        let live = |known: &DeniedToken| known.tenant == token.tenant && known.expires_at > now;
        if former.is_none()
            && state.denied().filter(|(_, known)| live(known)).count() >= self.max_denied as usize
        {
            return Err(too_many(self.max_denied));
        }
        Ok(state.change(former.map(|(revision, _)| revision), Revocation::Token(token)))
    }

    async fn end_all(&self, _: &PlatformScope, tenant: &TenantId) -> Result<RevocationChange> {
        let mut state = self.lock();
        let former = state.epoch(tenant);
        let now = self.clock.now();
        let issued_until = former.map_or(now, |(_, until)| until.max(now));
        let all = Revocation::All { tenant: tenant.clone(), issued_until };
        Ok(state.change(former.map(|(revision, _)| revision), all))
    }

    async fn changes_since(
        &self,
        _: &PlatformScope,
        revision: i64,
        limit: u32,
    ) -> Result<Vec<RevocationChange>> {
        let state = self.lock();
        let later = state.changes.range(revision.saturating_add(1)..);
        let limit = limit.clamp(1, MAX_PAGE) as usize;
        let change = |(revision, revocation): (&i64, &Revocation)| RevocationChange {
            revocation: revocation.clone(),
            revision: *revision,
        };
        Ok(later.take(limit).map(change).collect())
    }

    async fn prune(&self, _: &PlatformScope, limit: u32) -> Result<u64> {
        let now = self.clock.now();
        let mut state = self.lock();
        let expired = state.denied().filter(|(_, token)| token.expires_at <= now);
        let expired: Vec<i64> = expired.map(|(revision, _)| revision).take(limit as usize).collect();
        for revision in &expired {
            state.changes.remove(revision);
        }
        Ok(expired.len() as u64)
    }
}
