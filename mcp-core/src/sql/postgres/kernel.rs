//! The kernel on PostgreSQL.

use std::sync::Arc;

use sqlx::Postgres;

use super::{
    ControlRead, ControlTx, PgConfig, TenantRead, TenantTx, migrate, placement,
    places::{Inner, schema_of},
};
use crate::{
    audit::Chain,
    clock::{Clock, Timestamp},
    error::{Error, Result},
    event::Commits,
    scope::{
        PlatformScope, Scope, TenantId,
        schema::{CONTROL_SCHEMA, DATA_SCHEMA},
    },
    sql::{
        Begun, IsolationMode, Migrations, Placement, SchemaName,
        begin::{begun, uncancelled, wait_of},
        cached,
        migrations::{Plan, Set},
    },
};

/// The kernel on PostgreSQL. Cheap to clone; all clones are one kernel.
///
/// What it promises is said in the [module's documentation](crate::sql).
#[derive(Debug, Clone)]
pub struct PgKernel(pub(super) Arc<Inner>);

impl PgKernel {
    /// Makes or migrates the control tables and the shared tables, as the owner. Then
    /// [`connect`](Self::connect), and [`migrate`](Self::migrate) for the tenants' own schemas and databases.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) without the owner's URL;
    /// [`Corrupted`](crate::ErrorKind::Corrupted) if an applied migration was changed; those of the database.
    pub async fn install(config: &PgConfig, migrations: &[Migrations]) -> Result<()> {
        config.check()?;
        let plan = Plan::new(migrate::CORE, migrations)?;
        let roles = config.roles()?;
        let owner = roles.owner()?;
        migrate::apply(&owner, CONTROL_SCHEMA, &plan, Set::Control, &roles).await?;
        migrate::apply(&owner, DATA_SCHEMA, &plan, Set::Tenant, &roles).await?;
        for (region, urls) in &config.regions {
            let roles = urls.roles(region)?;
            migrate::apply(&roles.owner()?, DATA_SCHEMA, &plan, Set::Tenant, &roles)
                .await
                .map_err(|error| error.with_context("region", region))?;
        }
        Ok(())
    }

    /// Connects as the app role, which must be one that row-level security holds.
    ///
    /// `migrations` are those of all crates that store something here, core's own excepted.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for settings, and for a role that is a superuser, has
    /// `BYPASSRLS` or owns the tables; [`Unavailable`](crate::ErrorKind::Unavailable) if the database is
    /// away or not migrated.
    pub async fn connect(config: PgConfig, migrations: &[Migrations], clock: Arc<dyn Clock>) -> Result<Self> {
        let plan = Plan::new(migrate::CORE, migrations)?;
        let inner = Inner::new(config, plan, clock)?;
        inner.check().await?;
        Ok(Self(Arc::new(inner)))
    }

    /// Begins a transaction on the data of the scope's tenant, waiting at most for the configured time and
    /// the scope's deadline, which bounds its statements too.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if the tenant has no placement;
    /// [`Unavailable`](crate::ErrorKind::Unavailable) while it is being provisioned, if its tables are not
    /// migrated, and if no connection is free;
    /// [`DeadlineExceeded`](crate::ErrorKind::DeadlineExceeded).
    ///
    /// # Cancellation
    /// Dropping the future leaves no transaction open.
    pub async fn begin(&self, scope: &Scope) -> Result<TenantTx> {
        let (inner, tenant) = (self.0.clone(), scope.tenant().clone());
        let limit = wait_of(scope, self.0.config.statement_timeout)?;
        begun(&self.0.context.tasks, wait_of(scope, self.0.config.wait)?, async move {
            let (placement, db) = inner.tenant_db(&tenant).await?;
            let tx = db.write(&inner.local(Some(&tenant), schema_of(&placement), limit)).await?;
            Ok(TenantTx::new(tx, inner.context.clone(), tenant))
        })
        .await
    }

    /// As [`begin`](Self::begin), when no other transaction is under way that was begun in the same turn: a name
    /// that tells of what (`crate:tenant/thing`). What such transactions commit has the order of their turns, in the
    /// outbox too, as none has written anything before its turn.
    ///
    /// # Errors
    /// As [`begin`](Self::begin); [`DeadlineExceeded`](crate::ErrorKind::DeadlineExceeded) also if the turn does not
    /// come within the time of a statement.
    ///
    /// # Cancellation
    /// As [`begin`](Self::begin).
    pub async fn begin_in_turn(&self, scope: &Scope, turn: String) -> Result<TenantTx> {
        let (inner, tenant) = (self.0.clone(), scope.tenant().clone());
        let limit = wait_of(scope, self.0.config.statement_timeout)?;
        let wait = wait_of(scope, self.0.config.wait.saturating_add(limit))?;
        begun(&self.0.context.tasks, wait, async move {
            let (placement, db) = inner.tenant_db(&tenant).await?;
            let local = inner.local(Some(&tenant), schema_of(&placement), limit);
            let tx = db.write_in_turn(&local, &turn).await?;
            Ok(TenantTx::new(tx, inner.context.clone(), tenant))
        })
        .await
    }

    /// Begins a read of the data of the scope's tenant.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    ///
    /// # Cancellation
    /// As [`begin`](Self::begin).
    pub async fn read(&self, scope: &Scope) -> Result<TenantRead> {
        let (inner, tenant) = (self.0.clone(), scope.tenant().clone());
        let limit = wait_of(scope, self.0.config.statement_timeout)?;
        begun(&self.0.context.tasks, wait_of(scope, self.0.config.wait)?, async move {
            let (placement, db) = inner.tenant_db(&tenant).await?;
            let tx = db.read(&inner.local(Some(&tenant), schema_of(&placement), limit)).await?;
            Ok(TenantRead::new(tx, tenant))
        })
        .await
    }

    /// Begins a transaction on the control tables.
    ///
    /// # Errors
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if the database is away or no connection is free.
    ///
    /// # Cancellation
    /// As [`begin`](Self::begin).
    pub async fn control(&self, _scope: &PlatformScope) -> Result<ControlTx> {
        let inner = self.0.clone();
        begun(&self.0.context.tasks, self.0.config.wait, async move {
            let tx = inner.home.db.write(&inner.control_local()).await?;
            Ok(ControlTx::new(tx, inner.context.clone()))
        })
        .await
    }

    /// Begins a read of the control tables.
    ///
    /// # Errors
    /// As [`control`](Self::control).
    ///
    /// # Cancellation
    /// As [`begin`](Self::begin).
    pub async fn control_read(&self, _scope: &PlatformScope) -> Result<ControlRead> {
        let inner = self.0.clone();
        begun(&self.0.context.tasks, self.0.config.wait, async move {
            Ok(ControlRead::new(inner.home.db.read(&inner.control_local()).await?))
        })
        .await
    }

    /// Decides where a tenant's data lives, in the transaction that creates the tenant. `schema` is by
    /// default [made from the tenant's id](SchemaName::of_tenant). [`provision`](Self::provision) follows
    /// after the commit.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for a mode that the configuration does not list;
    /// [`AlreadyExists`](crate::ErrorKind::AlreadyExists) if the tenant has a placement or the schema's name
    /// is taken; [`InvalidInput`](crate::ErrorKind::InvalidInput) if the name is too long for a database.
    pub async fn place(
        &self,
        tx: &mut ControlTx,
        tenant: &TenantId,
        mode: IsolationMode,
        schema: Option<&SchemaName>,
    ) -> Result<Placement> {
        self.place_in(tx, tenant, mode, schema, None).await
    }

    /// As [`place`](Self::place), in the databases of `region`.
    ///
    /// # Errors
    /// As [`place`](Self::place); [`Unsupported`](crate::ErrorKind::Unsupported) for a region that the
    /// configuration does not list.
    pub async fn place_in(
        &self,
        tx: &mut ControlTx,
        tenant: &TenantId,
        mode: IsolationMode,
        schema: Option<&SchemaName>,
        region: Option<&str>,
    ) -> Result<Placement> {
        mode.require("PostgreSQL", &self.0.config.modes)?;
        self.0.site(region)?;
        let schema = schema.cloned().unwrap_or_else(|| SchemaName::of_tenant(tenant));
        if mode == IsolationMode::Database && self.0.database_of(&schema).len() > 63 {
            let longest = 63 - self.0.config.database_prefix.len();
            let message = format!("in mode `database` a schema name may have {longest} characters");
            return Err(Error::invalid_input("sql.place", message));
        }
        let region = region.map(str::to_owned);
        let placement = Placement { tenant: tenant.clone(), mode, schema, region, ready: false };
        let now = tx.now();
        placement::insert(tx.conn(), &placement, now).await?;
        Ok(placement)
    }

    /// Makes the tenant's schema or database and migrates it, as the owner. May be run again at any time,
    /// also after a crash.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) without the owner's URL;
    /// [`NotFound`](crate::ErrorKind::NotFound) if the tenant has no placement;
    /// [`Corrupted`](crate::ErrorKind::Corrupted) if it was provisioned before and its schema or database is
    /// gone.
    ///
    /// # Cancellation
    /// What was started is finished.
    pub async fn provision(&self, _scope: &PlatformScope, tenant: &TenantId) -> Result<()> {
        let (inner, tenant) = (self.0.clone(), tenant.clone());
        uncancelled(&self.0.context.tasks, "sql.provision", async move { inner.provision(&tenant).await })
            .await
    }

    /// Brings every tenant's schema or database up to date, those that were never provisioned too. Returns
    /// their number.
    ///
    /// # Errors
    /// The first failure, naming the tenant in its context; what was migrated before stays so.
    pub async fn migrate(&self, scope: &PlatformScope) -> Result<u64> {
        let mut after = None;
        let mut count = 0;
        loop {
            let page = self.placements(scope, after.as_ref(), 100).await?;
            let Some(last) = page.last() else { return Ok(count) };
            after = Some(last.tenant.clone());
            for placement in page {
                self.provision(scope, &placement.tenant)
                    .await
                    .map_err(|error| error.with_context("tenant", &placement.tenant))?;
                count += 1;
            }
        }
    }

    /// The next `limit` placements in the order of the tenants' ids.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn placements(
        &self,
        scope: &PlatformScope,
        after: Option<&TenantId>,
        limit: u32,
    ) -> Result<Vec<Placement>> {
        let mut read = self.control_read(scope).await?;
        placement::page(read.conn(), after, limit).await
    }

    /// The next chains and outboxes behind `after`: the platform's, then those of all tenants that have a place.
    pub(crate) async fn chains(
        &self,
        scope: &PlatformScope,
        after: Option<&Chain>,
        limit: u32,
    ) -> Result<Vec<Chain>> {
        let mut behind = match after {
            None => return Ok(vec![Chain::Platform]),
            Some(Chain::Platform) => None,
            Some(Chain::Tenant(tenant)) => Some(tenant.clone()),
        };
        loop {
            let page = self.placements(scope, behind.as_ref(), limit).await?;
            let Some(last) = page.last() else { return Ok(Vec::new()) };
            behind = Some(last.tenant.clone());
            let ready = page.into_iter().filter(|placement| placement.ready);
            let chains: Vec<_> = ready.map(|placement| Chain::Tenant(placement.tenant)).collect();
            if !chains.is_empty() {
                return Ok(chains);
            }
        }
    }

    /// The time by the kernel's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.0.context.clock.now()
    }

    /// Which chains had events committed by this process.
    pub(crate) fn commits(&self) -> &Commits {
        &self.0.context.commits
    }

    /// The tenant's placement.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if it has none.
    pub async fn placement(&self, scope: &PlatformScope, tenant: &TenantId) -> Result<Placement> {
        let mut read = self.control_read(scope).await?;
        placement::find(read.conn(), tenant).await?.ok_or_else(cached::no_placement)
    }

    /// Begins as the relay role, where a chain is stored. It sees all tenants' rows, so statements name theirs.
    pub(crate) async fn relay(&self, chain: &Chain, write: bool) -> Result<Begun<Postgres>> {
        let (inner, chain) = (self.0.clone(), chain.clone());
        begun(&self.0.context.tasks, self.0.config.wait, async move {
            let (db, schema) = inner.relay_of(&chain).await?;
            let local = inner.local(None, &schema, inner.config.statement_timeout);
            if write { db.write(&local).await } else { db.read(&local).await }
        })
        .await
    }

    /// Waits for what is in flight, then closes all connections. Transactions that are still held are waited
    /// for, so drop them first.
    pub async fn close(&self) {
        self.0.context.tasks.close();
        self.0.context.tasks.wait().await;
        for (_, db) in &self.0.tenants {
            db.close().await;
        }
        self.0.tenants.invalidate_all();
        for (_, db) in &self.0.relays {
            db.close().await;
        }
        self.0.relays.invalidate_all();
        for site in self.0.sites() {
            site.db.close().await;
        }
    }
}
