//! The transactions through which storage is reached, and nothing else is.

use std::{future::Future, sync::Arc};

use sqlx::Database;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::{Begun, begin::uncancelled, fault::fault};
use crate::{
    audit::{AuditRecord, Chain, Entry},
    clock::{Clock, Timestamp},
    error::Result,
    event::{Commits, Event},
    scope::TenantId,
};

/// A database the kernel runs on: `sqlx::Sqlite` or `sqlx::Postgres`.
pub trait Backend: Database + sealed::Rows {}

pub(crate) mod sealed {
    use super::{Database, Entry, Event, Future, Result, Timestamp};

    /// The rows core itself writes, in each backend's SQL. `chain` is the tenant's id, or `platform`;
    /// `prepares` is [`TenantTx::prepares`](super::TenantTx::prepares).
    pub trait Rows: Database {
        fn insert_event(
            conn: &mut Self::Connection,
            prepares: bool,
            chain: &str,
            event: &Event,
            now: Timestamp,
        ) -> impl Future<Output = Result<()>> + Send;

        fn insert_audit(
            conn: &mut Self::Connection,
            prepares: bool,
            chain: &str,
            entry: &Entry,
        ) -> impl Future<Output = Result<()>> + Send;
    }
}

/// The chain and outbox of what happens above tenants. No tenant can have this id.
pub(crate) const PLATFORM: &str = "platform";

/// What a transaction needs beside its connection.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) tasks: TaskTracker,
    pub(crate) clock: Arc<dyn Clock>,
    /// Wakes the relay of this process.
    pub(crate) commits: Arc<Commits>,
}

impl Context {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { tasks: TaskTracker::new(), clock, commits: Arc::default() }
    }
}

#[derive(Debug)]
struct Open<DB: Backend> {
    tx: Begun<DB>,
    context: Context,
    /// Whether there is something to publish after the commit.
    emitted: bool,
}

impl<DB: Backend> Open<DB> {
    async fn emit(&mut self, chain: &str, event: Event) -> Result<Uuid> {
        let now = self.context.clock.now();
        let (event, prepares) = (event.at(now), self.tx.prepares());
        DB::insert_event(&mut self.tx, prepares, chain, &event, now).await?;
        self.emitted = true;
        Ok(event.id())
    }

    async fn audit(&mut self, chain: &str, record: AuditRecord) -> Result<Uuid> {
        let entry = Entry::new(record, self.context.clock.now())?;
        self.append(chain, &entry).await?;
        Ok(entry.id)
    }

    async fn append(&mut self, chain: &str, entry: &Entry) -> Result<()> {
        let prepares = self.tx.prepares();
        DB::insert_audit(&mut self.tx, prepares, chain, entry).await
    }

    async fn commit(self, chain: Chain) -> Result<()> {
        let (tx, commits) = (self.tx, self.emitted.then(|| self.context.commits.clone()));
        let work = async move {
            tx.commit().await.map_err(|error| fault("sql.commit", error))?;
            if let Some(commits) = commits {
                commits.mark(chain);
            }
            Ok(())
        };
        uncancelled(&self.context.tasks, "sql.commit", work).await
    }

    async fn rollback(self) -> Result<()> {
        let tx = self.tx;
        let work = async move { tx.rollback().await.map_err(|error| fault("sql.rollback", error)) };
        uncancelled(&self.context.tasks, "sql.rollback", work).await
    }
}

/// A transaction on one tenant's data: begun, and its tenant set, before anyone can hold it.
///
/// Dropping it rolls back. State, events and audit records written through it are committed together.
#[derive(Debug)]
pub struct TenantTx<DB: Backend> {
    open: Open<DB>,
    tenant: TenantId,
}

impl<DB: Backend> TenantTx<DB> {
    pub(crate) fn new(tx: Begun<DB>, context: Context, tenant: TenantId) -> Self {
        Self { open: Open { tx, context, emitted: false }, tenant }
    }

    /// Whether statements that are used over and over may be prepared once for the connection, as it is the same
    /// server session each time: `query(…).persistent(tx.prepares())`.
    #[must_use]
    pub const fn prepares(&self) -> bool {
        self.open.tx.prepares()
    }

    /// The tenant whose data this reaches. Every statement names it: `WHERE tenant_id = ?`.
    #[must_use]
    pub const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The connection, for the statements of the caller's backend.
    pub fn conn(&mut self) -> &mut DB::Connection {
        &mut self.open.tx
    }

    /// The time by the kernel's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.open.context.clock.now()
    }

    /// Puts an event into the tenant's outbox, to be published if this commits. Returns its id.
    ///
    /// # Errors
    /// As [`Event::to_json`]; those of the database. The transaction should be dropped then.
    pub async fn emit(&mut self, event: Event) -> Result<Uuid> {
        self.open.emit(self.tenant.as_str(), event).await
    }

    /// Appends a record to the tenant's audit chain. Returns the record's id.
    ///
    /// # Errors
    /// [`TooLarge`](crate::ErrorKind::TooLarge) if the record is, those of the database. The transaction
    /// should be dropped then.
    pub async fn audit(&mut self, record: AuditRecord) -> Result<Uuid> {
        self.open.audit(self.tenant.as_str(), record).await
    }

    /// Appends an entry that was made earlier, as denials are.
    pub(crate) async fn append(&mut self, entry: &Entry) -> Result<()> {
        self.open.append(self.tenant.as_str(), entry).await
    }

    /// Commits.
    ///
    /// # Errors
    /// If the database refuses; whether the change was made is unknown only when the connection was lost
    /// ([`Unavailable`](crate::ErrorKind::Unavailable)).
    ///
    /// # Cancellation
    /// A commit that was started is finished even if this future is dropped.
    pub async fn commit(self) -> Result<()> {
        self.open.commit(Chain::Tenant(self.tenant)).await
    }

    /// Rolls back, and waits for it. Dropping does the same without waiting.
    ///
    /// # Errors
    /// If the connection was lost; nothing is committed then either.
    pub async fn rollback(self) -> Result<()> {
        self.open.rollback().await
    }
}

/// A transaction on the control tables: tenants, keys, placements. It reaches no tenant's data.
///
/// Dropping it rolls back.
#[derive(Debug)]
pub struct ControlTx<DB: Backend> {
    open: Open<DB>,
}

impl<DB: Backend> ControlTx<DB> {
    pub(crate) fn new(tx: Begun<DB>, context: Context) -> Self {
        Self { open: Open { tx, context, emitted: false } }
    }

    /// The connection, for the statements of the caller's backend.
    pub fn conn(&mut self) -> &mut DB::Connection {
        &mut self.open.tx
    }

    /// The time by the kernel's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.open.context.clock.now()
    }

    /// Puts an event into the platform's own outbox. As [`TenantTx::emit`].
    ///
    /// # Errors
    /// As [`TenantTx::emit`].
    pub async fn emit(&mut self, event: Event) -> Result<Uuid> {
        self.open.emit(PLATFORM, event).await
    }

    /// Appends a record to the platform's own audit chain. As [`TenantTx::audit`].
    ///
    /// # Errors
    /// As [`TenantTx::audit`].
    pub async fn audit(&mut self, record: AuditRecord) -> Result<Uuid> {
        self.open.audit(PLATFORM, record).await
    }

    /// As [`TenantTx::append`].
    pub(crate) async fn append(&mut self, entry: &Entry) -> Result<()> {
        self.open.append(PLATFORM, entry).await
    }

    /// Commits. As [`TenantTx::commit`].
    ///
    /// # Errors
    /// As [`TenantTx::commit`].
    pub async fn commit(self) -> Result<()> {
        self.open.commit(Chain::Platform).await
    }

    /// Rolls back, and waits for it. As [`TenantTx::rollback`].
    ///
    /// # Errors
    /// As [`TenantTx::rollback`].
    pub async fn rollback(self) -> Result<()> {
        self.open.rollback().await
    }
}

/// A read of one tenant's data: one consistent view, which the database keeps from writing.
#[derive(Debug)]
pub struct TenantRead<DB: Backend> {
    tx: Begun<DB>,
    tenant: TenantId,
}

impl<DB: Backend> TenantRead<DB> {
    pub(crate) const fn new(tx: Begun<DB>, tenant: TenantId) -> Self {
        Self { tx, tenant }
    }

    /// As [`TenantTx::prepares`].
    #[must_use]
    pub const fn prepares(&self) -> bool {
        self.tx.prepares()
    }

    /// The tenant whose data this reaches.
    #[must_use]
    pub const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The connection, for the statements of the caller's backend.
    pub fn conn(&mut self) -> &mut DB::Connection {
        &mut self.tx
    }
}

/// A read of the control tables: one consistent view, which the database keeps from writing.
#[derive(Debug)]
pub struct ControlRead<DB: Backend> {
    tx: Begun<DB>,
}

impl<DB: Backend> ControlRead<DB> {
    pub(crate) const fn new(tx: Begun<DB>) -> Self {
        Self { tx }
    }

    /// The connection, for the statements of the caller's backend.
    pub fn conn(&mut self) -> &mut DB::Connection {
        &mut self.tx
    }
}
