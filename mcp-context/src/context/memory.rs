//! Contexts in memory: the readable reference, for tests and for programs that keep nothing.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use mcp_core::{
    Result, Scope,
    clock::{Clock, SystemClock},
    event::Event,
    scope::TenantId,
};
use serde_json::{Map, Value};

use super::{
    Append, Appended, Context, ContextHead, ContextId, ContextLimits, ContextQuery, ContextStore, MAX_NEWEST,
    Message, MessageQuery, NewContext,
    change::{self, About},
    check::{append_fingerprint, create_fingerprint},
    merge::merge,
    store::{created, key_reused, not_found, parse_context_cursor, parse_message_cursor, stale, too_many},
};
use crate::page::{Page, limit};

/// Events a tenant's log keeps.
const EVENTS: usize = 10_000;
/// Idempotency keys a tenant may have in use; the oldest is forgotten first.
const KEYS: usize = 10_000;

/// A [`ContextStore`] in memory. Clones share their contexts.
#[derive(Debug, Clone)]
pub struct MemoryContextStore {
    clock: Arc<dyn Clock>,
    limits: ContextLimits,
    tenants: Arc<Mutex<HashMap<TenantId, Tenant>>>,
}

#[derive(Debug, Default)]
struct Tenant {
    contexts: BTreeMap<ContextId, Stored>,
    requests: HashMap<String, Request>,
    /// The keys of `requests`, oldest first.
    keys: VecDeque<String>,
    events: VecDeque<Event>,
}

#[derive(Debug)]
struct Stored {
    head: ContextHead,
    data: Map<String, Value>,
    messages: Vec<Message>,
}

#[derive(Debug)]
struct Request {
    fingerprint: Vec<u8>,
    id: ContextId,
    appended: Option<Appended>,
}

impl Default for MemoryContextStore {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock), ContextLimits::default())
    }
}

impl MemoryContextStore {
    /// An empty store.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, limits: ContextLimits) -> Self {
        Self { clock, limits, tenants: Arc::default() }
    }

    /// The newest 10,000 events of the tenant's changes, in their order.
    #[must_use]
    pub fn events(&self, scope: &Scope) -> Vec<Event> {
        let tenants = self.lock();
        tenants.get(scope.tenant()).map(|tenant| tenant.events.iter().cloned().collect()).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Tenant>> {
        // Every change below is made whole before the guard drops, so a panic elsewhere spoils nothing.
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at one tenant; a stranger has nothing, and gets nothing made for it.
    fn look<T>(
        &self,
        scope: &Scope,
        operation: &'static str,
        at: impl FnOnce(&Tenant) -> Result<T>,
    ) -> Result<T> {
        let tenants = self.lock();
        at(tenants.get(scope.tenant()).ok_or_else(|| not_found(operation))?)
    }

    /// Changes one context of one tenant.
    fn change<T>(
        &self,
        scope: &Scope,
        operation: &'static str,
        at: impl FnOnce(&mut Tenant) -> Result<T>,
    ) -> Result<T> {
        let mut tenants = self.lock();
        at(tenants.get_mut(scope.tenant()).ok_or_else(|| not_found(operation))?)
    }
}

impl Tenant {
    fn emit(&mut self, event: Event, clock: &dyn Clock) {
        if self.events.len() == EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event.at(clock.now()));
    }

    fn earlier(
        &self,
        operation: &'static str,
        key: Option<&String>,
        fingerprint: &[u8],
    ) -> Result<Option<&Request>> {
        match key.and_then(|key| self.requests.get(key)) {
            Some(request) if request.fingerprint != fingerprint => Err(key_reused(operation)),
            found => Ok(found),
        }
    }

    fn remember(&mut self, key: Option<String>, request: Request) {
        let Some(key) = key else { return };
        if self.keys.len() == KEYS
            && let Some(oldest) = self.keys.pop_front()
        {
            self.requests.remove(&oldest);
        }
        self.keys.push_back(key.clone());
        self.requests.insert(key, request);
    }

    fn at_version(
        &mut self,
        operation: &'static str,
        id: &ContextId,
        expected: Option<i64>,
    ) -> Result<&mut Stored> {
        let stored = self.contexts.get_mut(id).ok_or_else(|| not_found(operation))?;
        match expected {
            Some(expected) if expected != stored.head.version => Err(stale(operation, stored.head.version)),
            _ => Ok(stored),
        }
    }
}

impl Stored {
    fn read(&self, newest: u32) -> Context {
        let skipped = self.messages.len().saturating_sub(newest.min(MAX_NEWEST) as usize);
        let history = Some(self.messages[skipped..].to_vec());
        Context { head: self.head.clone(), data: self.data.clone(), history }
    }
}

#[async_trait]
impl ContextStore for MemoryContextStore {
    async fn create(&self, scope: &Scope, new: NewContext) -> Result<Context> {
        self.limits.new_context(&new)?;
        let fingerprint = create_fingerprint(scope, &new)?;
        let mut tenants = self.lock();
        let tenant = tenants.entry(scope.tenant().clone()).or_default();
        if let Some(made) = tenant.earlier("context.create", new.idempotency_key.as_ref(), &fingerprint)? {
            let stored = tenant.contexts.get(&made.id).ok_or_else(|| not_found("context.create"))?;
            return Ok(stored.read(0));
        }
        if let Some(most) = new.at_most.filter(|most| tenant.contexts.len() >= *most as usize) {
            return Err(too_many(most));
        }
        let head = created(scope, &new, ContextId::generate(), self.clock.now());
        tenant.remember(new.idempotency_key, Request { fingerprint, id: head.id, appended: None });
        tenant.emit(change::created(&head, new.data.clone()), &*self.clock);
        let stored = Stored { head, data: new.data, messages: Vec::new() };
        let context = stored.read(0);
        tenant.contexts.insert(context.head.id, stored);
        Ok(context)
    }

    async fn read(&self, scope: &Scope, id: &ContextId, newest: u32) -> Result<Context> {
        self.look(scope, "context.read", |tenant| {
            let stored = tenant.contexts.get(id).ok_or_else(|| not_found("context.read"))?;
            Ok(stored.read(newest))
        })
    }

    async fn list(&self, scope: &Scope, query: &ContextQuery) -> Result<Page<ContextHead>> {
        let (before, limit) = (parse_context_cursor(query.cursor.as_deref())?, limit(query.limit));
        let tenants = self.lock();
        let heads = tenants.get(scope.tenant()).into_iter().flat_map(|tenant| tenant.contexts.values().rev());
        let wanted = heads.map(|stored| &stored.head).filter(|head| {
            before.is_none_or(|before| head.id < before)
                && query.user_id.as_ref().is_none_or(|user| *user == head.user_id)
                && query.session_id.as_ref().is_none_or(|session| Some(session) == head.session_id.as_ref())
        });
        let items = wanted.take(limit as usize + 1).cloned().collect();
        Ok(Page::cut(items, limit, |head: &ContextHead| head.id.to_string()))
    }

    async fn messages(&self, scope: &Scope, id: &ContextId, query: &MessageQuery) -> Result<Page<Message>> {
        let (from, limit) = (parse_message_cursor(query)?, limit(query.limit));
        let most = limit as usize + 1;
        self.look(scope, "context.messages", |tenant| {
            let stored = tenant.contexts.get(id).ok_or_else(|| not_found("context.messages"))?;
            let all = stored.messages.iter();
            let items = if query.newest_first {
                all.rev().filter(|message| message.seq < from).take(most).cloned().collect()
            } else {
                all.filter(|message| message.seq > from).take(most).cloned().collect()
            };
            Ok(Page::cut(items, limit, |message: &Message| message.seq.to_string()))
        })
    }

    async fn append(&self, scope: &Scope, id: &ContextId, append: Append) -> Result<Appended> {
        const OPERATION: &str = "context.append";
        self.limits.append(&append)?;
        let fingerprint = append_fingerprint(scope, id, &append)?;
        self.change(scope, OPERATION, |tenant| {
            let earlier = tenant.earlier(OPERATION, append.idempotency_key.as_ref(), &fingerprint)?;
            if let Some(appended) = earlier.and_then(|request| request.appended) {
                return Ok(appended);
            }
            let now = self.clock.now();
            let stored = tenant.at_version(OPERATION, id, append.expected_version)?;
            let (first_seq, author) = (stored.head.messages + 1, scope.principal().id.to_string());
            let messages = (first_seq..).zip(append.messages).map(|(seq, new)| Message {
                seq,
                role: new.role,
                content: new.content,
                metadata: new.metadata,
                author: author.clone(),
                created_at: now,
            });
            stored.messages.extend(messages);
            stored.head.messages = stored.messages.len() as i64;
            stored.head.version += 1;
            stored.head.updated_at = stored.head.updated_at.max(now);
            let ContextHead { version, messages: last_seq, .. } = stored.head;
            let appended = Appended { version, first_seq, last_seq };
            let user = stored.head.user_id.clone();
            let about = About { tenant: scope.tenant(), id, user: &user, at: now };
            tenant.emit(change::appended(&about, appended), &*self.clock);
            let request = Request { fingerprint, id: *id, appended: Some(appended) };
            tenant.remember(append.idempotency_key, request);
            Ok(appended)
        })
    }

    async fn patch(
        &self,
        scope: &Scope,
        id: &ContextId,
        patch: Map<String, Value>,
        expected_version: i64,
    ) -> Result<Context> {
        const OPERATION: &str = "context.patch";
        self.limits.object(OPERATION, &patch)?;
        self.change(scope, OPERATION, |tenant| {
            let stored = tenant.at_version(OPERATION, id, Some(expected_version))?;
            let mut data = stored.data.clone();
            merge(&mut data, &patch);
            self.limits.data(OPERATION, &data)?;
            stored.data = data;
            stored.head.version += 1;
            stored.head.updated_at = stored.head.updated_at.max(self.clock.now());
            let (head, data) = (stored.head.clone(), stored.data.clone());
            tenant.emit(change::patched(&head, patch), &*self.clock);
            Ok(Context { head, data, history: None })
        })
    }

    async fn delete(&self, scope: &Scope, id: &ContextId, expected_version: Option<i64>) -> Result<()> {
        const OPERATION: &str = "context.delete";
        self.change(scope, OPERATION, |tenant| {
            let head = tenant.at_version(OPERATION, id, expected_version)?.head.clone();
            tenant.contexts.remove(id);
            let about = About { tenant: scope.tenant(), id, user: &head.user_id, at: self.clock.now() };
            tenant.emit(change::deleted(&about, head.version), &*self.clock);
            Ok(())
        })
    }
}
