//! The kernel on SQLite.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use moka::future::Cache;
use tokio::sync::OnceCell;

use super::{ControlRead, ControlTx, SqliteConfig, TenantRead, TenantTx, db::Db, migrate, placement};
use crate::{
    audit::Chain,
    clock::{Clock, Timestamp},
    error::{Error, Result},
    event::Commits,
    scope::{PlatformScope, Scope, TenantId},
    sql::{
        IsolationMode, Migrations, Placement, SchemaName,
        begin::{begun, uncancelled, wait_of},
        cached,
        migrations::{Plan, Set},
        placement::unserved,
        tx::Context,
    },
};

/// The kernel on SQLite. Cheap to clone; all clones are one kernel.
///
/// Two processes may open the same directory at once: the command line while the server runs. The isolation
/// mode `row` is guarded by code alone, as SQLite has no row-level security: a statement that forgets its
/// `tenant_id` sees every tenant of that mode. Choose `database` where that matters.
///
/// What it promises is said in the [module's documentation](crate::sql).
#[derive(Debug, Clone)]
pub struct SqliteKernel(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) config: SqliteConfig,
    pub(super) plan: Plan,
    pub(super) context: Context,
    pub(super) control: Db,
    /// The file that tenants share, by region.
    shared: BTreeMap<Option<String>, OnceCell<Arc<Db>>>,
    pub(super) tenants: Cache<TenantId, Arc<Db>>,
    pub(super) placements: Cache<TenantId, Placement>,
}

impl SqliteKernel {
    /// Opens the directory, and brings the control tables up to date. Tenants' files are brought up to date
    /// when they are first used.
    ///
    /// `migrations` are those of all crates that store something here, core's own excepted.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for mode `schema`;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for other settings;
    /// [`Corrupted`](crate::ErrorKind::Corrupted) if an applied migration was changed;
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if the directory cannot be made or written.
    pub async fn open(
        config: SqliteConfig,
        migrations: &[Migrations],
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        config.check()?;
        let plan = Plan::new(migrate::CORE, migrations)?;
        for directory in std::iter::once(&config.directory).chain(config.regions.values()) {
            make_directory(directory.join("tenants")).await?;
        }
        let control =
            Db::open(&config, &config.directory.join("control.db"), &plan, Set::Control, true).await?;
        let tenants = Cache::builder().max_capacity(config.open_tenants).time_to_idle(config.idle).build();
        let context = Context::new(clock);
        let placements = cached::placements();
        let regions = config.regions.keys().cloned().map(Some);
        let shared = regions.chain([None]).map(|region| (region, OnceCell::new())).collect();
        Ok(Self(Arc::new(Inner { config, plan, context, control, shared, tenants, placements })))
    }

    /// Begins a transaction on the data of the scope's tenant, waiting at most for the configured time and
    /// the scope's deadline. Writers of one tenant (in mode `row`: of all) take turns.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if the tenant has no placement;
    /// [`Unavailable`](crate::ErrorKind::Unavailable) while it is being provisioned, and if the file stays
    /// busy; [`DeadlineExceeded`](crate::ErrorKind::DeadlineExceeded).
    ///
    /// # Cancellation
    /// Dropping the future leaves no transaction open.
    pub async fn begin(&self, scope: &Scope) -> Result<TenantTx> {
        let (inner, tenant) = (self.0.clone(), scope.tenant().clone());
        begun(&self.0.context.tasks, wait_of(scope, self.wait())?, async move {
            let tx = inner.tenant_db(&tenant).await?.write().await?;
            Ok(TenantTx::new(tx, inner.context.clone(), tenant))
        })
        .await
    }

    /// Begins a read of the data of the scope's tenant. It does not wait for writers.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    ///
    /// # Cancellation
    /// As [`begin`](Self::begin).
    pub async fn read(&self, scope: &Scope) -> Result<TenantRead> {
        let (inner, tenant) = (self.0.clone(), scope.tenant().clone());
        begun(&self.0.context.tasks, wait_of(scope, self.wait())?, async move {
            let tx = inner.tenant_db(&tenant).await?.read().await?;
            Ok(TenantRead::new(tx, tenant))
        })
        .await
    }

    /// Begins a transaction on the control tables.
    ///
    /// # Errors
    /// [`Unavailable`](crate::ErrorKind::Unavailable) if the file stays busy.
    ///
    /// # Cancellation
    /// As [`begin`](Self::begin).
    pub async fn control(&self, _scope: &PlatformScope) -> Result<ControlTx> {
        let inner = self.0.clone();
        begun(&self.0.context.tasks, self.wait(), async move {
            Ok(ControlTx::new(inner.control.write().await?, inner.context.clone()))
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
        begun(
            &self.0.context.tasks,
            self.wait(),
            async move { Ok(ControlRead::new(inner.control.read().await?)) },
        )
        .await
    }

    /// Decides where a tenant's data lives, in the transaction that creates the tenant. `schema` is by
    /// default [made from the tenant's id](SchemaName::of_tenant). [`provision`](Self::provision) follows
    /// after the commit.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for a mode that the configuration does not list;
    /// [`AlreadyExists`](crate::ErrorKind::AlreadyExists) if the tenant has a placement or the schema's name
    /// is taken.
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
        mode.require("SQLite", &self.0.config.modes)?;
        self.0.directory(region)?;
        let schema = schema.cloned().unwrap_or_else(|| SchemaName::of_tenant(tenant));
        let region = region.map(str::to_owned);
        let placement = Placement { tenant: tenant.clone(), mode, schema, region, ready: false };
        let now = tx.now();
        placement::insert(tx.conn(), &placement, now).await?;
        Ok(placement)
    }

    /// Makes the tenant's file and migrates it. May be run again at any time, also after a crash.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if the tenant has no placement;
    /// [`Corrupted`](crate::ErrorKind::Corrupted) if it was provisioned before and its file is gone.
    ///
    /// # Cancellation
    /// What was started is finished.
    pub async fn provision(&self, _scope: &PlatformScope, tenant: &TenantId) -> Result<()> {
        let (inner, tenant) = (self.0.clone(), tenant.clone());
        uncancelled(&self.0.context.tasks, "sql.provision", async move {
            let placement = inner.stored_placement(&tenant).await?.ok_or_else(cached::no_placement)?;
            // A file that was there and is gone must not come back empty.
            inner.open_place(&placement, !placement.ready).await?;
            let mut tx = inner.control.write().await?;
            placement::set_ready(&mut tx, &placement).await?;
            tx.commit().await.map_err(|error| crate::sql::fault("sql.provision", error))?;
            inner.placements.invalidate(&tenant).await;
            Ok(())
        })
        .await
    }

    /// Brings every tenant's file up to date, those that were never provisioned too. Returns their number.
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
    pub async fn placement(&self, _scope: &PlatformScope, tenant: &TenantId) -> Result<Placement> {
        self.0.stored_placement(tenant).await?.ok_or_else(cached::no_placement)
    }

    /// Waits for what is in flight, then closes all files. Transactions that are still held are waited for,
    /// so drop them first.
    pub async fn close(&self) {
        self.0.context.tasks.close();
        self.0.context.tasks.wait().await;
        for (_, db) in &self.0.tenants {
            db.close().await;
        }
        self.0.tenants.invalidate_all();
        for db in self.0.shared.values().filter_map(OnceCell::get) {
            db.close().await;
        }
        self.0.control.close().await;
    }

    fn wait(&self) -> Duration {
        self.0.config.wait
    }
}

impl Inner {
    async fn tenant_db(&self, tenant: &TenantId) -> Result<Arc<Db>> {
        let placement = cached::ready(&self.placements, tenant, self.stored_placement(tenant)).await?;
        self.open_place(&placement, false).await
    }

    /// Where the databases of a region live.
    fn directory(&self, region: Option<&str>) -> Result<&Path> {
        match region {
            None => Ok(&self.config.directory),
            Some(region) => Ok(self.config.regions.get(region).ok_or_else(|| unserved(region))?),
        }
    }

    /// The file of a tenant that has one of its own.
    pub(super) fn file_of(&self, placement: &Placement) -> Result<PathBuf> {
        let directory = self.directory(placement.region.as_deref())?;
        Ok(directory.join("tenants").join(format!("{}.db", placement.tenant)))
    }

    pub(super) async fn open_place(&self, placement: &Placement, create: bool) -> Result<Arc<Db>> {
        let Self { config, plan, .. } = self;
        let open = async |path: PathBuf, create| {
            Db::open(config, &path, plan, Set::Tenant, create).await.map(Arc::new)
        };
        match placement.mode {
            IsolationMode::Row => {
                let path = self.directory(placement.region.as_deref())?.join("shared.db");
                let shared = self.shared.get(&placement.region);
                let shared = shared.ok_or_else(|| Error::internal("sql.open", "a region has no place"))?;
                shared.get_or_try_init(|| open(path, true)).await.cloned()
            }
            IsolationMode::Database => {
                let path = self.file_of(placement)?;
                let opened = self.tenants.try_get_with(placement.tenant.clone(), open(path, create)).await;
                opened.map_err(|error| shared_error("sql.open", &error))
            }
            IsolationMode::Schema => {
                Err(Error::internal("sql.open", "SQLite has no schemas, yet a placement names one"))
            }
        }
    }

    async fn stored_placement(&self, tenant: &TenantId) -> Result<Option<Placement>> {
        let mut tx = self.control.read().await?;
        placement::find(&mut tx, tenant).await
    }
}

async fn make_directory(path: PathBuf) -> Result<()> {
    let make = move || {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(path)
    };
    let made = tokio::task::spawn_blocking(make).await.map_err(std::io::Error::other).flatten();
    made.map_err(|error| {
        Error::unavailable("sql.open", "the data directory cannot be made").with_source(error)
    })
}

/// An error that several waiters share, for one of them.
fn shared_error(operation: &'static str, error: &Arc<Error>) -> Error {
    Error::new(error.kind(), operation, error.message().to_owned())
        .with_retry(error.retry())
        .with_source(error.report())
}
