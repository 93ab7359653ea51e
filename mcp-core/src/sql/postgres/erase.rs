//! Erasing a tenant's place, as the owner: its database, its schema, or its rows in the tables that it shares; and its
//! rows above tenants.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::{ConnectOptions, Connection, PgConnection};

use super::{PgKernel, placement, places::schema_of, query, query_as, query_scalar};
use crate::{
    erase::{Erased, LastLink, TenantEraser, require_settled},
    error::{Error, Result},
    scope::{
        PlatformScope, TenantId,
        schema::{CONTROL_SCHEMA, DATA_SCHEMA},
    },
    sql::{
        IsolationMode, Placement,
        fault::OrFault,
        ident,
        placement::{ClosedPlace, OUTLIVING, last_link},
    },
};

/// Rows that one transaction deletes, so that no lock is held for long.
const BATCH: i64 = 1000;

/// Erases what a tenant has in the databases of a [`PgKernel`], which has the owner's URL: the tenant's database or
/// schema, or its rows in every shared table, as the database's catalogue names them; then its rows in the tables
/// above tenants. Its data keys' rows and the names it had stay.
#[derive(Debug, Clone)]
pub struct PgEraser {
    kernel: PgKernel,
    settle: Duration,
}

impl PgEraser {
    /// Erases no sooner than `settle` after the place was closed: as long as another replica may take to hear that
    /// it is. A minute for what it remembers, and the longest statement.
    #[must_use]
    pub const fn new(kernel: PgKernel, settle: Duration) -> Self {
        Self { kernel, settle }
    }

    /// Keeps everything from beginning in the place, in this process at once.
    async fn close(&self, conn: &mut PgConnection, tenant: &TenantId) -> Result<Option<ClosedPlace>> {
        let mut tx = conn.begin().await.or_fault("sql.erase")?;
        placement::close(&mut tx, tenant, self.kernel.0.context.clock.now()).await?;
        let closed = placement::closed(&mut tx, tenant).await?;
        tx.commit().await.or_fault("sql.erase")?;
        self.kernel.0.placements.invalidate(tenant).await;
        if let Some(db) = self.kernel.0.tenants.remove(tenant).await {
            // Whoever is in the middle of something ends it, or loses it with the database.
            let _ = tokio::time::timeout(self.kernel.0.config.wait, db.close()).await;
        }
        if let Some(ClosedPlace { place, .. }) = &closed
            && place.mode == IsolationMode::Database
        {
            let key = (place.region.clone(), self.kernel.0.database_of(&place.schema));
            if let Some(db) = self.kernel.0.relays.remove(&key).await {
                let _ = tokio::time::timeout(self.kernel.0.config.wait, db.close()).await;
            }
        }
        Ok(closed)
    }

    /// The owner's connection to where the place is.
    async fn owner_of(&self, place: &Placement) -> Result<PgConnection> {
        let owner = self.kernel.0.site(place.region.as_deref())?.roles.owner()?;
        let owner = match place.mode {
            IsolationMode::Database => owner.database(&self.kernel.0.database_of(&place.schema)),
            IsolationMode::Row | IsolationMode::Schema => owner,
        };
        owner.disable_statement_logging().connect().await.or_fault("sql.erase")
    }

    /// Counts what is there, and notes it before the first of it goes.
    async fn count(&self, conn: &mut PgConnection, place: &Placement) -> Result<Erased> {
        let mut counted = Erased::default();
        if self.kernel.0.exists(place).await? {
            let mut there = self.owner_of(place).await?;
            let mut tx = there.begin().await.or_fault("sql.erase")?;
            set_tenant(&mut tx, &place.tenant).await?;
            let schema = schema_of(place);
            for table in tables(&mut tx, schema).await? {
                counted.count(&table, count(&mut tx, schema, &table, &place.tenant).await?);
            }
            counted.last_link = chain_end(&mut tx, schema, &place.tenant).await?;
            tx.commit().await.or_fault("sql.erase")?;
            there.close().await.or_fault("sql.erase")?;
            match place.mode {
                IsolationMode::Row => {}
                IsolationMode::Schema => counted.count("schema", 1),
                IsolationMode::Database => counted.count("database", 1),
            }
        }
        for table in control_tables(conn).await? {
            counted.count(&table, count(conn, CONTROL_SCHEMA, &table, &place.tenant).await?);
        }
        placement::set_counted(conn, &place.tenant, &counted).await?;
        Ok(counted)
    }

    /// Drops the database. Connections to it that other replicas have not closed yet are ended where the owner may.
    async fn drop_database(&self, place: &Placement) -> Result<()> {
        let name = self.kernel.0.database_of(&place.schema);
        let site = self.kernel.0.site(place.region.as_deref())?;
        let owner = site.roles.owner()?.disable_statement_logging();
        let mut conn = owner.connect().await.or_fault("sql.erase")?;
        if super::migrate::database_exists(&mut conn, &name).await? {
            query(ident::sql("ALTER DATABASE {} ALLOW_CONNECTIONS false", &[&name]))
                .execute(&mut conn)
                .await
                .or_fault("sql.erase")?;
            let forced = query(ident::sql("DROP DATABASE IF EXISTS {} WITH (FORCE)", &[&name]));
            if let Err(refused) = forced.execute(&mut conn).await {
                // Ending the sessions of other roles takes a right that the owner may not have; those of replicas
                // that are idle end by themselves.
                let code = refused.as_database_error().and_then(|error| error.code()).unwrap_or_default();
                if code != "42501" {
                    return Err(refused).or_fault("sql.erase");
                }
                let dropped = query(ident::sql("DROP DATABASE IF EXISTS {}", &[&name]));
                dropped.execute(&mut conn).await.map_err(|error| {
                    let message = "the tenant's database is still in use; it is tried again";
                    Error::unavailable("sql.erase", message).with_source(error)
                })?;
            }
        }
        conn.close().await.or_fault("sql.erase")
    }

    async fn erase_place(&self, place: &Placement) -> Result<()> {
        match place.mode {
            IsolationMode::Database => self.drop_database(place).await,
            IsolationMode::Schema => {
                let mut conn = self.owner_of(place).await?;
                query(ident::sql("DROP SCHEMA IF EXISTS {} CASCADE", &[place.schema.as_str()]))
                    .execute(&mut conn)
                    .await
                    .or_fault("sql.erase")?;
                conn.close().await.or_fault("sql.erase")
            }
            IsolationMode::Row => {
                let mut conn = self.owner_of(place).await?;
                for table in tables(&mut conn, DATA_SCHEMA).await? {
                    delete(&mut conn, DATA_SCHEMA, &table, &place.tenant).await?;
                }
                conn.close().await.or_fault("sql.erase")
            }
        }
    }
}

#[async_trait]
impl TenantEraser for PgEraser {
    fn name(&self) -> &'static str {
        "database"
    }

    async fn erase(&self, _scope: &PlatformScope, tenant: &TenantId) -> Result<Erased> {
        let mut conn = self.kernel.0.locked(tenant).await?;
        let Some(closed) = self.close(&mut conn, tenant).await? else { return Ok(Erased::default()) };
        if let (Some(counted), true) = (&closed.counted, closed.erased) {
            return Ok(counted.clone());
        }
        require_settled(closed.closed_at, self.settle, self.kernel.0.context.clock.now())?;
        let counted = match closed.counted {
            Some(counted) => counted,
            None => self.count(&mut conn, &closed.place).await?,
        };
        self.erase_place(&closed.place).await?;
        for table in control_tables(&mut conn).await? {
            delete(&mut conn, CONTROL_SCHEMA, &table, tenant).await?;
        }
        placement::set_erased(&mut conn, tenant, self.kernel.0.context.clock.now()).await?;
        conn.close().await.or_fault("sql.erase")?;
        Ok(counted)
    }
}

/// Row-level security holds for the owner too: it sees the rows of the tenant that is set, for this transaction.
async fn set_tenant(conn: &mut PgConnection, tenant: &TenantId) -> Result<()> {
    query("SELECT set_config('app.tenant_id', $1, true)")
        .bind(tenant.as_str())
        .execute(conn)
        .await
        .or_fault("sql.erase")?;
    Ok(())
}

/// Every table that has rows of tenants, as the catalogue says: one that a later migration makes is not forgotten.
async fn tables(conn: &mut PgConnection, schema: &str) -> Result<Vec<String>> {
    query_scalar(
        "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
         WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY c.relname",
    )
    .bind(schema)
    .fetch_all(conn)
    .await
    .or_fault("sql.erase")
}

async fn control_tables(conn: &mut PgConnection) -> Result<Vec<String>> {
    let mut tables = tables(conn, CONTROL_SCHEMA).await?;
    tables.retain(|table| !OUTLIVING.contains(&table.as_str()));
    Ok(tables)
}

async fn count(conn: &mut PgConnection, schema: &str, table: &str, tenant: &TenantId) -> Result<u64> {
    let count: i64 =
        query_scalar(ident::sql("SELECT count(*) FROM {}.{} WHERE tenant_id = $1", &[schema, table]))
            .bind(tenant.as_str())
            .fetch_one(conn)
            .await
            .or_fault("sql.erase")?;
    Ok(count.unsigned_abs())
}

async fn chain_end(conn: &mut PgConnection, schema: &str, tenant: &TenantId) -> Result<Option<LastLink>> {
    let last = "SELECT seq, hash FROM {}.audit_seal WHERE tenant_id = $1 ORDER BY seq DESC LIMIT 1";
    let seal = query_as(ident::sql(last, &[schema]))
        .bind(tenant.as_str())
        .fetch_optional(&mut *conn)
        .await
        .or_fault("sql.erase")?;
    let waiting = ident::sql("SELECT count(*) FROM {}.audit_pending WHERE tenant_id = $1", &[schema]);
    let unsealed: i64 =
        query_scalar(waiting).bind(tenant.as_str()).fetch_one(conn).await.or_fault("sql.erase")?;
    Ok(last_link(seal, unsealed))
}

/// Deletes the tenant's rows of one table, some in each transaction.
async fn delete(conn: &mut PgConnection, schema: &str, table: &str, tenant: &TenantId) -> Result<()> {
    loop {
        let mut tx = conn.begin().await.or_fault("sql.erase")?;
        set_tenant(&mut tx, tenant).await?;
        let some = "DELETE FROM {}.{} WHERE ctid = ANY (ARRAY(
                        SELECT ctid FROM {}.{} WHERE tenant_id = $1 LIMIT $2)) AND tenant_id = $1";
        let deleted = query(ident::sql(some, &[schema, table, schema, table]))
            .bind(tenant.as_str())
            .bind(BATCH)
            .execute(&mut *tx)
            .await
            .or_fault("sql.erase")?;
        tx.commit().await.or_fault("sql.erase")?;
        if deleted.rows_affected() < BATCH.unsigned_abs() {
            return Ok(());
        }
    }
}
