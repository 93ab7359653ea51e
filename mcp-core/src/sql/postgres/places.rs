//! Where a tenant's data lives: the site of its region, and its schema or database there.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use moka::future::Cache;
use sqlx::{ConnectOptions, Connection, PgConnection};

use super::{
    PgConfig,
    config::Roles,
    db::{Db, Local},
    migrate, placement, query, secure,
};
use crate::{
    audit::Chain,
    clock::Clock,
    error::{Error, ErrorKind, Result},
    scope::{
        TenantId,
        schema::{CONTROL_SCHEMA, DATA_SCHEMA},
    },
    sql::{
        IsolationMode, Placement, SchemaName, cached,
        fault::OrFault,
        ident,
        migrations::{Plan, Set},
        placement::unserved,
        tx::Context,
    },
};

/// The sealer works on one chain at a time; a verifier may read beside it.
const RELAY_CONNECTIONS: u32 = 2;

/// A server with a main database, and how each role reaches it.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) roles: Roles,
    pub(super) db: Db,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) config: PgConfig,
    pub(super) plan: Plan,
    pub(super) context: Context,
    /// The tables above tenants, and the data of tenants without a region.
    pub(super) home: Site,
    regions: BTreeMap<String, Site>,
    pub(super) tenants: Cache<TenantId, Arc<Db>>,
    /// The relay role's, by region and the name of the database.
    pub(super) relays: Cache<(Option<String>, String), Arc<Db>>,
    pub(super) placements: Cache<TenantId, Placement>,
}

/// The database of a transaction: a site's, or a tenant's own.
pub(super) enum Reached<'a> {
    Site(&'a Db),
    Tenant(Arc<Db>),
}

impl std::ops::Deref for Reached<'_> {
    type Target = Db;

    fn deref(&self) -> &Db {
        match self {
            Self::Site(db) => db,
            Self::Tenant(db) => db,
        }
    }
}

/// The schema of a placement, within its database.
pub(super) fn schema_of(placement: &Placement) -> &str {
    match placement.mode {
        IsolationMode::Schema => placement.schema.as_str(),
        IsolationMode::Row | IsolationMode::Database => DATA_SCHEMA,
    }
}

impl Inner {
    pub(super) fn new(config: PgConfig, plan: Plan, clock: Arc<dyn Clock>) -> Result<Self> {
        config.check()?;
        let site = |roles: Roles| Site { db: Db::new(&config, roles.app.clone(), config.connections), roles };
        let home = site(config.roles()?);
        let regions = config.regions.iter().map(|(name, urls)| Ok((name.clone(), site(urls.roles(name)?))));
        let regions = regions.collect::<Result<_>>()?;
        let tenants = Cache::builder().max_capacity(config.open_tenants).time_to_idle(config.idle).build();
        let relays = Cache::builder().max_capacity(config.open_tenants).time_to_idle(config.idle).build();
        let context = Context::new(clock);
        let placements = cached::placements();
        Ok(Self { config, plan, context, home, regions, tenants, relays, placements })
    }

    /// Every site.
    pub(super) fn sites(&self) -> impl Iterator<Item = &Site> {
        std::iter::once(&self.home).chain(self.regions.values())
    }

    /// The site of a region.
    pub(super) fn site(&self, region: Option<&str>) -> Result<&Site> {
        match region {
            None => Ok(&self.home),
            Some(region) => self.regions.get(region).ok_or_else(|| unserved(region)),
        }
    }

    pub(super) async fn check(&self) -> Result<()> {
        let mut tx = self.home.db.read(&self.control_local()).await?;
        secure::check_app_role(&mut tx, &[CONTROL_SCHEMA, DATA_SCHEMA]).await?;
        for (schema, set) in [(CONTROL_SCHEMA, Set::Control), (DATA_SCHEMA, Set::Tenant)] {
            if !migrate::is_current(&mut tx, schema, &self.plan, set).await? {
                return Err(migrate::outdated("the database"));
            }
        }
        tx.rollback().await.or_fault("sql.open")?;
        for (region, site) in &self.regions {
            self.check_region(site).await.map_err(|error| error.with_context("region", region))?;
        }
        Ok(())
    }

    async fn check_region(&self, site: &Site) -> Result<()> {
        let local = self.local(None, DATA_SCHEMA, self.config.statement_timeout);
        let mut tx = site.db.read(&local).await?;
        secure::check_app_role(&mut tx, &[DATA_SCHEMA]).await?;
        if !migrate::is_current(&mut tx, DATA_SCHEMA, &self.plan, Set::Tenant).await? {
            return Err(migrate::outdated("the database of a region"));
        }
        tx.rollback().await.or_fault("sql.open")
    }

    /// The tenant's placement, seen to be migrated, and the database it is in.
    pub(super) async fn tenant_db(&self, tenant: &TenantId) -> Result<(Placement, Reached<'_>)> {
        let placement = cached::ready(&self.placements, tenant, self.usable_placement(tenant)).await?;
        let db = self.open_place(&placement).await?;
        Ok((placement, db))
    }

    async fn usable_placement(&self, tenant: &TenantId) -> Result<Option<Placement>> {
        let mut tx = self.home.db.read(&self.control_local()).await?;
        let found = placement::find(&mut tx, tenant).await?;
        tx.rollback().await.or_fault("sql.begin")?;
        // The shared tables were seen to be up to date at start.
        if let Some(placement) =
            found.as_ref().filter(|found| found.ready && found.mode != IsolationMode::Row)
        {
            let db = self.open_place(placement).await?;
            let local = self.local(Some(tenant), schema_of(placement), self.config.statement_timeout);
            let mut tx = db.read(&local).await?;
            if !migrate::is_current(&mut tx, schema_of(placement), &self.plan, Set::Tenant).await? {
                return Err(migrate::outdated("the tenant's database"));
            }
        }
        Ok(found)
    }

    async fn open_place(&self, placement: &Placement) -> Result<Reached<'_>> {
        let site = self.site(placement.region.as_deref())?;
        if placement.mode != IsolationMode::Database {
            return Ok(Reached::Site(&site.db));
        }
        let options = site.roles.app.clone().database(&self.database_of(&placement.schema));
        let open = async { Arc::new(Db::new(&self.config, options, self.config.tenant_connections)) };
        Ok(Reached::Tenant(self.tenants.get_with(placement.tenant.clone(), open).await))
    }

    /// The relay role's database of a chain, and the schema within it.
    pub(super) async fn relay_of(&self, chain: &Chain) -> Result<(Arc<Db>, String)> {
        let (site, region, database, schema) = match chain {
            Chain::Platform => (&self.home, None, self.home.roles.main.clone(), CONTROL_SCHEMA.to_owned()),
            Chain::Tenant(tenant) => {
                let stored = self.usable_placement(tenant);
                let placement = cached::ready(&self.placements, tenant, stored).await?;
                let site = self.site(placement.region.as_deref())?;
                let database = match placement.mode {
                    IsolationMode::Database => self.database_of(&placement.schema),
                    IsolationMode::Row | IsolationMode::Schema => site.roles.main.clone(),
                };
                let schema = schema_of(&placement).to_owned();
                (site, placement.region, database, schema)
            }
        };
        let options = site.roles.relay()?.database(&database);
        let open = async { Arc::new(Db::new(&self.config, options, RELAY_CONNECTIONS)) };
        Ok((self.relays.get_with((region, database), open).await, schema))
    }

    /// The owner's connection to the tables above tenants, which holds the tenant's lock: provisioning and erasing
    /// it take turns. The lock is this connection's, which is no pool's and leads through no pooler, and ends with
    /// it.
    pub(super) async fn locked(&self, tenant: &TenantId) -> Result<PgConnection> {
        let owner = self.home.roles.owner()?;
        let mut conn = owner.disable_statement_logging().connect().await.or_fault("sql.provision")?;
        query(ident::sql("SET search_path TO {}", &[CONTROL_SCHEMA]))
            .execute(&mut conn)
            .await
            .or_fault("sql.provision")?;
        query("SELECT pg_advisory_lock(hashtextextended('mcp-provision:' || $1, 0))")
            .bind(tenant.as_str())
            .execute(&mut conn)
            .await
            .or_fault("sql.provision")?;
        Ok(conn)
    }

    pub(super) async fn provision(&self, tenant: &TenantId) -> Result<()> {
        // One at a time per tenant, as grants on one database refuse to meet.
        let mut conn = self.locked(tenant).await?;
        let placement = placement::find(&mut conn, tenant).await?.ok_or_else(cached::no_placement)?;
        let site = self.site(placement.region.as_deref())?;
        let owner = site.roles.owner()?;
        let database = self.database_of(&placement.schema);
        if placement.ready && !self.exists(&placement).await? {
            // What was there and is gone must not come back empty.
            let message = "the tenant's schema or database is gone; restore it from a backup";
            return Err(Error::new(ErrorKind::Corrupted, "sql.provision", message));
        }
        let place = match placement.mode {
            IsolationMode::Row | IsolationMode::Schema => owner,
            IsolationMode::Database => {
                migrate::create_database(&owner, &database, &site.roles).await?;
                owner.database(&database)
            }
        };
        migrate::apply(&place, schema_of(&placement), &self.plan, Set::Tenant, &site.roles).await?;
        placement::set_ready(&mut conn, &placement).await?;
        self.placements.invalidate(tenant).await;
        conn.close().await.or_fault("sql.provision")
    }

    /// Whether the placement's schema or database is there.
    pub(super) async fn exists(&self, placement: &Placement) -> Result<bool> {
        if placement.mode == IsolationMode::Row {
            return Ok(true);
        }
        let owner = self.site(placement.region.as_deref())?.roles.owner()?;
        let mut conn = owner.disable_statement_logging().connect().await.or_fault("sql.provision")?;
        let exists = match placement.mode {
            IsolationMode::Database => {
                migrate::database_exists(&mut conn, &self.database_of(&placement.schema)).await?
            }
            _ => migrate::schema_exists(&mut conn, placement.schema.as_str()).await?,
        };
        conn.close().await.or_fault("sql.provision")?;
        Ok(exists)
    }

    pub(super) fn database_of(&self, schema: &SchemaName) -> String {
        format!("{}{schema}", self.config.database_prefix)
    }

    pub(super) fn control_local(&self) -> Local<'_> {
        self.local(None, CONTROL_SCHEMA, self.config.statement_timeout)
    }

    pub(super) fn local<'a>(
        &self,
        tenant: Option<&'a TenantId>,
        schema: &'a str,
        limit: Duration,
    ) -> Local<'a> {
        Local {
            tenant: tenant.map(TenantId::as_str),
            schema,
            statement_timeout: limit,
            idle_timeout: self.config.idle_timeout,
        }
    }
}
