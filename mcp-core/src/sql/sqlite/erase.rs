//! Erasing a tenant's place: its file, or its rows in the file that it shares; and its rows above tenants.

use std::{path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;
use sqlx::SqliteConnection;

use super::{SqliteKernel, db::Db, kernel::Inner, placement};
use crate::{
    erase::{Erased, TenantEraser, require_settled},
    error::{Error, Result},
    scope::{PlatformScope, TenantId},
    sql::{
        IsolationMode, Placement,
        begin::uncancelled,
        fault::OrFault,
        ident,
        placement::{ClosedPlace, OUTLIVING, last_link},
    },
};

/// Rows that one transaction deletes, so that writers of other tenants get their turn.
const BATCH: i64 = 500;

/// What keeps slips of the code from touching the audit log; an erasure is none. As the migration made them.
const GUARDS: [(&str, &str, &str); 2] = [
    (
        "audit",
        "DROP TRIGGER IF EXISTS audit_keep",
        "CREATE TRIGGER audit_keep BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'audit records are append-only'); END",
    ),
    (
        "audit_seal",
        "DROP TRIGGER IF EXISTS audit_seal_keep",
        "CREATE TRIGGER audit_seal_keep BEFORE DELETE ON audit_seal
BEGIN SELECT RAISE(ABORT, 'audit seals are append-only'); END",
    ),
];

/// Erases what a tenant has in the databases of a [`SqliteKernel`]: the files of its own, or its rows in every table
/// of the shared file, as the database's catalogue names them; then its rows in the tables above tenants. Its data
/// keys' rows and the names it had stay.
#[derive(Debug, Clone)]
pub struct SqliteEraser {
    kernel: SqliteKernel,
    settle: Duration,
}

impl SqliteEraser {
    /// Erases no sooner than `settle` after the place was closed: as long as another process may take to hear that
    /// it is, which is a minute for those that use the same directory.
    #[must_use]
    pub const fn new(kernel: SqliteKernel, settle: Duration) -> Self {
        Self { kernel, settle }
    }

    /// Keeps everything from beginning in the place, in this process at once.
    async fn close(&self, tenant: &TenantId) -> Result<Option<ClosedPlace>> {
        let (inner, tenant) = (self.kernel.0.clone(), tenant.clone());
        uncancelled(&self.kernel.0.context.tasks, "sql.erase", async move {
            let mut tx = inner.control.write().await?;
            placement::close(&mut tx, &tenant, inner.context.clock.now()).await?;
            let closed = placement::closed(&mut tx, &tenant).await?;
            tx.commit().await.or_fault("sql.erase")?;
            inner.placements.invalidate(&tenant).await;
            if let Some(db) = inner.tenants.remove(&tenant).await {
                // Whoever is in the middle of something ends it, or loses it with the file.
                let _ = tokio::time::timeout(inner.config.wait, db.close()).await;
            }
            Ok(closed)
        })
        .await
    }

    /// Counts what is there, and notes it before the first of it goes.
    async fn count(&self, place: &Placement) -> Result<Erased> {
        let (inner, place) = (self.kernel.0.clone(), place.clone());
        uncancelled(&self.kernel.0.context.tasks, "sql.erase", async move {
            let mut counted = Erased::default();
            let there = is_there(inner.file_of(&place)?).await?;
            if place.mode == IsolationMode::Row || there {
                let db = inner.open_place(&place, false).await?;
                let mut read = db.read().await?;
                for table in tables(&mut read).await? {
                    counted.count(&table, count(&mut read, &table, &place.tenant).await?);
                }
                counted.last_link = chain_end(&mut read, &place.tenant).await?;
            }
            if place.mode == IsolationMode::Database {
                counted.count("file", u64::from(there));
            }
            let mut tx = inner.control.write().await?;
            for table in tables(&mut tx).await?.iter().filter(|table| !OUTLIVING.contains(&table.as_str())) {
                counted.count(table, count(&mut tx, table, &place.tenant).await?);
            }
            placement::set_counted(&mut tx, &place.tenant, &counted).await?;
            tx.commit().await.or_fault("sql.erase")?;
            Ok(counted)
        })
        .await
    }

    /// Removes the files of a tenant that has its own, for good: the directory is written too.
    async fn remove_files(&self, place: &Placement) -> Result<()> {
        if let Some(db) = self.kernel.0.tenants.remove(&place.tenant).await {
            let _ = tokio::time::timeout(self.kernel.0.config.wait, db.close()).await;
        }
        let (files, of) = (files(&self.kernel.0, place)?, self.kernel.0.file_of(place)?);
        let remove = move || {
            for file in &files {
                match std::fs::remove_file(file) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            of.parent().map_or(Ok(()), |directory| std::fs::File::open(directory)?.sync_all())
        };
        let removed = tokio::task::spawn_blocking(remove).await.map_err(std::io::Error::other).flatten();
        removed.map_err(|error| {
            Error::unavailable("sql.erase", "the tenant's database file cannot be removed").with_source(error)
        })
    }

    /// Deletes rows until the catalogue's last table has none.
    async fn delete_rows(&self, place: &Placement) -> Result<()> {
        let db = self.kernel.0.open_place(place, false).await?;
        for table in self.tables_of(&db).await? {
            while self.delete_some(&db, &table, &place.tenant).await? == BATCH.unsigned_abs() {}
        }
        self.forget_words(&db).await?;
        db.checkpoint().await
    }

    async fn tables_of(&self, db: &Arc<Db>) -> Result<Vec<String>> {
        let db = db.clone();
        uncancelled(
            &self.kernel.0.context.tasks,
            "sql.erase",
            async move { tables(&mut *db.read().await?).await },
        )
        .await
    }

    async fn delete_some(&self, db: &Arc<Db>, table: &str, tenant: &TenantId) -> Result<u64> {
        let (db, table, tenant) = (db.clone(), table.to_owned(), tenant.clone());
        uncancelled(&self.kernel.0.context.tasks, "sql.erase", async move {
            let mut tx = db.write().await?;
            let deleted = delete_some(&mut tx, &table, &tenant).await?;
            tx.commit().await.or_fault("sql.erase")?;
            Ok(deleted)
        })
        .await
    }

    /// An index of words keeps those of deleted rows until it is merged.
    async fn forget_words(&self, db: &Arc<Db>) -> Result<()> {
        let db = db.clone();
        uncancelled(&self.kernel.0.context.tasks, "sql.erase", async move {
            let mut tx = db.write().await?;
            let indexes: Vec<String> = sqlx::query_scalar(
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql LIKE 'CREATE VIRTUAL TABLE%fts5%'",
            )
            .fetch_all(&mut *tx)
            .await
            .or_fault("sql.erase")?;
            for index in indexes {
                sqlx::query(ident::sql("INSERT INTO {} ({}) VALUES ('optimize')", &[&index, &index]))
                    .execute(&mut *tx)
                    .await
                    .or_fault("sql.erase")?;
            }
            tx.commit().await.or_fault("sql.erase")
        })
        .await
    }

    /// Deletes the tenant's rows in the tables above tenants.
    async fn delete_control_rows(&self, tenant: &TenantId) -> Result<()> {
        loop {
            let (inner, tenant) = (self.kernel.0.clone(), tenant.clone());
            let more = uncancelled(&self.kernel.0.context.tasks, "sql.erase", async move {
                let mut tx = inner.control.write().await?;
                let mut more = false;
                for table in
                    tables(&mut tx).await?.iter().filter(|table| !OUTLIVING.contains(&table.as_str()))
                {
                    more |= delete_some(&mut tx, table, &tenant).await? == BATCH.unsigned_abs();
                }
                tx.commit().await.or_fault("sql.erase")?;
                Ok(more)
            });
            if !more.await? {
                return Ok(());
            }
        }
    }

    async fn finish(&self, tenant: &TenantId) -> Result<()> {
        let (inner, tenant) = (self.kernel.0.clone(), tenant.clone());
        uncancelled(&self.kernel.0.context.tasks, "sql.erase", async move {
            let mut tx = inner.control.write().await?;
            placement::set_erased(&mut tx, &tenant, inner.context.clock.now()).await?;
            tx.commit().await.or_fault("sql.erase")?;
            inner.control.checkpoint().await
        })
        .await
    }
}

#[async_trait]
impl TenantEraser for SqliteEraser {
    fn name(&self) -> &'static str {
        "database"
    }

    async fn erase(&self, _scope: &PlatformScope, tenant: &TenantId) -> Result<Erased> {
        let Some(closed) = self.close(tenant).await? else { return Ok(Erased::default()) };
        if let (Some(counted), true) = (&closed.counted, closed.erased) {
            return Ok(counted.clone());
        }
        require_settled(closed.closed_at, self.settle, self.kernel.0.context.clock.now())?;
        let counted = match closed.counted {
            Some(counted) => counted,
            None => self.count(&closed.place).await?,
        };
        match closed.place.mode {
            IsolationMode::Database => self.remove_files(&closed.place).await?,
            IsolationMode::Row | IsolationMode::Schema => self.delete_rows(&closed.place).await?,
        }
        self.delete_control_rows(tenant).await?;
        self.finish(tenant).await?;
        Ok(counted)
    }
}

/// The database file and what SQLite keeps beside it, as far as they are there.
fn files(inner: &Inner, place: &Placement) -> Result<Vec<PathBuf>> {
    let file = inner.file_of(place)?;
    let beside = ["", "-wal", "-shm", "-journal"].map(|end| {
        let mut name = file.clone().into_os_string();
        name.push(end);
        PathBuf::from(name)
    });
    Ok(beside.into_iter().filter(|file| file.exists()).collect())
}

async fn is_there(file: PathBuf) -> Result<bool> {
    let look = tokio::task::spawn_blocking(move || file.try_exists()).await;
    look.map_err(std::io::Error::other).flatten().map_err(|error| {
        Error::unavailable("sql.erase", "the tenant's database file cannot be looked at").with_source(error)
    })
}

/// Every table that has rows of tenants, as the catalogue says: one that a later migration makes is not forgotten.
async fn tables(conn: &mut SqliteConnection) -> Result<Vec<String>> {
    sqlx::query_scalar(
        "SELECT t.name FROM pragma_table_list AS t
         WHERE t.schema = 'main' AND t.type = 'table'
           AND EXISTS (SELECT 1 FROM pragma_table_info(t.name) AS c WHERE c.name = 'tenant_id')
         ORDER BY t.name",
    )
    .fetch_all(conn)
    .await
    .or_fault("sql.erase")
}

async fn count(conn: &mut SqliteConnection, table: &str, tenant: &TenantId) -> Result<u64> {
    let count: i64 = sqlx::query_scalar(ident::sql("SELECT count(*) FROM {} WHERE tenant_id = ?", &[table]))
        .bind(tenant.as_str())
        .fetch_one(conn)
        .await
        .or_fault("sql.erase")?;
    Ok(count.unsigned_abs())
}

async fn chain_end(conn: &mut SqliteConnection, tenant: &TenantId) -> Result<Option<crate::erase::LastLink>> {
    let seal =
        sqlx::query_as("SELECT seq, hash FROM audit_seal WHERE tenant_id = ? ORDER BY seq DESC LIMIT 1")
            .bind(tenant.as_str())
            .fetch_optional(&mut *conn)
            .await
            .or_fault("sql.erase")?;
    let unsealed: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM audit AS a WHERE a.tenant_id = ?
           AND NOT EXISTS (SELECT 1 FROM audit_seal AS s WHERE s.record_id = a.id)",
    )
    .bind(tenant.as_str())
    .fetch_one(conn)
    .await
    .or_fault("sql.erase")?;
    Ok(last_link(seal, unsealed))
}

/// Deletes up to [`BATCH`] rows, overwriting what they held.
async fn delete_some(conn: &mut SqliteConnection, table: &str, tenant: &TenantId) -> Result<u64> {
    sqlx::query("PRAGMA secure_delete = ON").execute(&mut *conn).await.or_fault("sql.erase")?;
    let keys: Vec<String> =
        sqlx::query_scalar("SELECT name FROM pragma_table_info(?) WHERE pk > 0 ORDER BY pk")
            .bind(table)
            .fetch_all(&mut *conn)
            .await
            .or_fault("sql.erase")?;
    let keys = if keys.is_empty() { vec!["rowid".to_owned()] } else { keys };
    let guard = GUARDS.iter().find(|(guarded, ..)| *guarded == table);
    if let Some((_, lift, _)) = guard {
        sqlx::query(*lift).execute(&mut *conn).await.or_fault("sql.erase")?;
    }
    let deleted = sqlx::query(ident::delete_some(table, &keys))
        .bind(tenant.as_str())
        .bind(BATCH)
        .execute(&mut *conn)
        .await
        .or_fault("sql.erase")?;
    if let Some((.., restore)) = guard {
        sqlx::query(*restore).execute(conn).await.or_fault("sql.erase")?;
    }
    Ok(deleted.rows_affected())
}
