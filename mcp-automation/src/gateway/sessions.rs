//! All sessions, within their limits.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, PoisonError},
};

use mcp_core::{
    Scope,
    clock::{Clock, Timestamp},
    scope::TenantId,
};

use super::{
    config::SessionConfig,
    path::Endpoint,
    session::{Session, SessionId},
};

/// The sessions of this process. Bounded per tenant and overall; what is unused for too long ends.
#[derive(Debug)]
pub(super) struct Sessions {
    limits: SessionConfig,
    clock: Arc<dyn Clock>,
    table: Mutex<Table>,
    gauge: metrics::Gauge,
}

#[derive(Debug, Default)]
struct Table {
    sessions: HashMap<SessionId, Arc<Session>>,
    per_tenant: HashMap<TenantId, usize>,
    swept_at: Option<Timestamp>,
}

impl Sessions {
    pub(super) fn new(limits: SessionConfig, clock: Arc<dyn Clock>, gauge: metrics::Gauge) -> Self {
        Self { limits, clock, table: Mutex::default(), gauge }
    }

    pub(super) const fn limits(&self) -> &SessionConfig {
        &self.limits
    }

    /// Keeps a new session, at the expense of the longest unused where a limit is reached.
    pub(super) fn insert(&self, session: Session) -> Arc<Session> {
        let session = Arc::new(session);
        let now = self.clock.now();
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.sweep(&self.limits, now);
        if table.count_of(session.tenant()) >= self.limits.per_tenant {
            table.end_oldest_of(&session.tenant().clone());
        } else if table.sessions.len() >= self.limits.total
            // The tenant that has most pays, so that one tenant cannot end the sessions of those with few.
            && let Some(tenant) = table.largest()
        {
            table.end_oldest_of(&tenant);
        }
        *table.per_tenant.entry(session.tenant().clone()).or_default() += 1;
        table.sessions.insert(session.id, session.clone());
        self.gauge.set(table.sessions.len() as f64);
        session
    }

    /// The session of this id if it is the scope's; `None` is all that anybody else learns.
    pub(super) fn find(&self, scope: &Scope, endpoint: &Endpoint, id: &str) -> Option<Arc<Session>> {
        let id = SessionId::parse(id)?;
        let now = self.clock.now();
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let session = table.sessions.get(&id).filter(|session| session.belongs_to(scope, endpoint))?.clone();
        if now.since(session.last_used()) >= self.limits.idle {
            table.end(id);
            self.gauge.set(table.sessions.len() as f64);
            return None;
        }
        session.touch(now);
        Some(session)
    }

    /// Waits until a session has been unused for too long, and ends it: others are looked at only when somebody
    /// calls or comes, which may be never, and an open stream holds more than a table's entry.
    ///
    /// # Cancellation
    /// Safe.
    pub(super) async fn unused(&self, session: &Session) {
        loop {
            let unused_for = self.clock.now().since(session.last_used());
            let Some(left) = self.limits.idle.checked_sub(unused_for).filter(|left| !left.is_zero()) else {
                return self.end(session);
            };
            tokio::time::sleep(left).await;
        }
    }

    /// Ends a session.
    pub(super) fn end(&self, session: &Session) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.end(session.id);
        self.gauge.set(table.sessions.len() as f64);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).sessions.len()
    }
}

impl Table {
    fn count_of(&self, tenant: &TenantId) -> usize {
        self.per_tenant.get(tenant).copied().unwrap_or(0)
    }

    fn largest(&self) -> Option<TenantId> {
        self.per_tenant.iter().max_by_key(|(_, count)| **count).map(|(tenant, _)| tenant.clone())
    }

    fn end_oldest_of(&mut self, tenant: &TenantId) {
        let of_tenant = self.sessions.values().filter(|session| session.tenant() == tenant);
        if let Some(id) = of_tenant.min_by_key(|session| session.last_used()).map(|session| session.id) {
            self.end(id);
        }
    }

    /// Ends what has been unused for too long; looks at most four times in that span, as it looks at all.
    fn sweep(&mut self, limits: &SessionConfig, now: Timestamp) {
        if self.swept_at.is_some_and(|at| now.since(at) < limits.idle / 4) {
            return;
        }
        self.swept_at = Some(now);
        let is_old = |session: &&Arc<Session>| now.since(session.last_used()) >= limits.idle;
        let old: Vec<_> = self.sessions.values().filter(is_old).map(|session| session.id).collect();
        for id in old {
            self.end(id);
        }
    }

    fn end(&mut self, id: SessionId) {
        let Some(session) = self.sessions.remove(&id) else { return };
        session.ended.cancel();
        if let Entry::Occupied(mut count) = self.per_tenant.entry(session.tenant().clone()) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mcp_core::{
        clock::ManualClock,
        scope::{Permissions, Principal, PrincipalId, PrincipalKind},
    };

    use super::*;
    use crate::gateway::session::ClientAbilities;

    struct Bench {
        clock: ManualClock,
        sessions: Sessions,
    }

    fn bench(per_tenant: usize, total: usize) -> Bench {
        let clock = ManualClock::new(Timestamp::from_micros(0));
        let limits = SessionConfig { per_tenant, total, ..SessionConfig::default() };
        let sessions = Sessions::new(limits, Arc::new(clock.clone()), metrics::Gauge::noop());
        Bench { clock, sessions }
    }

    fn scope(tenant: &str, principal: &str) -> Scope {
        let principal = Principal {
            id: PrincipalId::parse(principal).unwrap(),
            kind: PrincipalKind::User,
            permissions: Permissions::default(),
        };
        Scope::new(TenantId::parse(tenant).unwrap(), Arc::new(principal))
    }

    impl Bench {
        fn open(&self, scope: &Scope) -> Arc<Session> {
            let abilities = ClientAbilities::default();
            let limits = self.sessions.limits();
            let session =
                Session::new(scope, Endpoint::Aggregate, abilities, limits, self.clock.now()).unwrap();
            self.clock.advance(Duration::from_millis(1));
            self.sessions.insert(session)
        }

        fn finds(&self, scope: &Scope, session: &Session) -> bool {
            self.sessions.find(scope, &Endpoint::Aggregate, &session.id.to_string()).is_some()
        }
    }

    #[test]
    fn a_session_is_found_by_its_owner_only() {
        let bench = bench(9, 9);
        let owner = scope("acme", "ann");
        let session = bench.open(&owner);
        assert!(bench.finds(&owner, &session));
        assert!(!bench.finds(&scope("acme", "bob"), &session));
        assert!(!bench.finds(&scope("umbrella", "ann"), &session));
        let elsewhere = Endpoint::Server(crate::protocol::ServerName::parse("time").unwrap());
        assert!(bench.sessions.find(&owner, &elsewhere, &session.id.to_string()).is_none());
    }

    #[test]
    fn unused_sessions_end_and_used_ones_stay() {
        let bench = bench(9, 9);
        let owner = scope("acme", "ann");
        let (used, unused) = (bench.open(&owner), bench.open(&owner));
        bench.clock.advance(Duration::from_secs(20 * 60));
        assert!(bench.finds(&owner, &used));
        bench.clock.advance(Duration::from_secs(20 * 60));
        assert!(bench.finds(&owner, &used));
        bench.open(&owner);
        assert!(unused.ended.is_cancelled());
        assert!(!used.ended.is_cancelled());
        assert_eq!(bench.sessions.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_ends_when_nobody_looks_for_it() {
        let bench = bench(2, 9);
        let session = bench.open(&scope("acme", "ann"));
        let unused = bench.sessions.unused(&session);
        tokio::pin!(unused);
        let idle = SessionConfig::default().idle;
        bench.clock.advance(idle / 2);
        session.touch(bench.clock.now());
        bench.clock.advance(idle / 2);
        assert!(tokio::time::timeout(idle * 2 / 3, &mut unused).await.is_err(), "it was used meanwhile");
        assert!(!session.ended.is_cancelled());
        bench.clock.advance(idle / 2);
        unused.await;
        assert!(session.ended.is_cancelled());
        assert_eq!(bench.sessions.len(), 0);
    }

    #[test]
    fn a_tenant_with_many_sessions_costs_only_itself() {
        let bench = bench(3, 4);
        let (greedy, modest) = (scope("greedy", "g"), scope("modest", "m"));
        let kept = bench.open(&modest);
        for _ in 0..100_000 {
            bench.open(&greedy);
        }
        assert_eq!(bench.sessions.len(), 4);
        let newcomer = bench.open(&scope("newcomer", "n"));
        assert_eq!(bench.sessions.len(), 4);
        assert!(!kept.ended.is_cancelled() && !newcomer.ended.is_cancelled());
        for session in [kept, newcomer] {
            bench.sessions.end(&session);
        }
        assert_eq!(bench.sessions.len(), 2);
    }
}
