//! Added servers in SQLite, in the kernel's control tables.

use async_trait::async_trait;
use mcp_core::{
    PlatformScope, Result,
    clock::Timestamp,
    key::MasterKey,
    sql::{
        OrFault as _,
        sqlite::{ControlTx, SqliteKernel},
    },
};
use sqlx::SqliteConnection;

use super::{
    AddedServer, MAX_PAGE, NewServer, Refusal, ReleaseStore,
    row::{self, Columns, Row},
    store::{already_exists, not_found},
};
use crate::{
    protocol::ServerName,
    source::{Hash, Version},
    sql::Change,
};

/// A [`ReleaseStore`] in SQLite; environments are sealed under the platform's master key.
#[derive(Debug, Clone)]
pub struct SqliteReleaseStore {
    kernel: SqliteKernel,
    master: MasterKey,
}

impl SqliteReleaseStore {
    /// A store on `kernel`, which was opened with [`SQLITE_MIGRATIONS`](crate::SQLITE_MIGRATIONS).
    #[must_use]
    pub const fn new(kernel: SqliteKernel, master: MasterKey) -> Self {
        Self { kernel, master }
    }

    /// Changes a server, where `change` says that it did; gives what it is then.
    async fn change(
        &self,
        scope: &PlatformScope,
        name: &ServerName,
        words: (&'static str, &'static str),
        version: &Version,
        change: impl FnOnce(&mut AddedServer, Timestamp) -> Result<bool> + Send,
    ) -> Result<AddedServer> {
        let mut tx = self.kernel.control(scope).await?;
        let found = find(tx.conn(), row::BY_NAME, name, &self.master).await?;
        let mut server = found.ok_or_else(|| not_found(name))?;
        if !change(&mut server, tx.now())? {
            tx.rollback().await?;
            return Ok(server);
        }
        sqlx::query(row::UPDATE)
            .bind(name.as_str())
            .bind(row::releases(&server)?)
            .bind(server.revision)
            .bind(server.updated_at.as_micros())
            .execute(tx.conn())
            .await
            .or_fault("server.change")?;
        record(&mut tx, row::change(scope, words, &server, Some(version))).await?;
        tx.commit().await?;
        Ok(server)
    }
}

#[async_trait]
impl ReleaseStore for SqliteReleaseStore {
    async fn add(&self, scope: &PlatformScope, server: NewServer) -> Result<AddedServer> {
        let mut tx = self.kernel.control(scope).await?;
        let server = AddedServer::create(server, tx.now());
        let columns = Columns::of(&server, &self.master)?;
        let inserted = sqlx::query(row::INSERT)
            .bind(server.name.as_str())
            .bind(server.package.to_string())
            .bind(columns.settings)
            .bind(columns.sealed_env)
            .bind(columns.releases)
            .bind(server.revision)
            .bind(server.created_at.as_micros())
            .bind(server.updated_at.as_micros())
            .execute(tx.conn())
            .await
            .or_fault("server.add")?;
        if inserted.rows_affected() == 0 {
            return Err(already_exists(&server.name));
        }
        record(&mut tx, row::change(scope, ("add", "added"), &server, None)).await?;
        tx.commit().await?;
        Ok(server)
    }

    async fn get(&self, scope: &PlatformScope, name: &ServerName) -> Result<Option<AddedServer>> {
        let mut read = self.kernel.control_read(scope).await?;
        find(read.conn(), row::BY_NAME, name, &self.master).await
    }

    async fn list(
        &self,
        scope: &PlatformScope,
        after: Option<&ServerName>,
        limit: u32,
    ) -> Result<Vec<AddedServer>> {
        let mut read = self.kernel.control_read(scope).await?;
        let rows = sqlx::query_as::<_, Row>(row::PAGE)
            .bind(after.map_or("", ServerName::as_str))
            .bind(i64::from(limit.clamp(1, MAX_PAGE)))
            .fetch_all(read.conn())
            .await
            .or_fault("server.list")?;
        rows.into_iter().map(|row| row::server(row, &self.master)).collect()
    }

    async fn stage(
        &self,
        scope: &PlatformScope,
        name: &ServerName,
        version: &Version,
        artifact: &Hash,
    ) -> Result<AddedServer> {
        let stage = |server: &mut AddedServer, now| server.stage(version, artifact, now);
        self.change(scope, name, ("stage", "release_staged"), version, stage).await
    }

    async fn activate(
        &self,
        scope: &PlatformScope,
        name: &ServerName,
        version: &Version,
    ) -> Result<AddedServer> {
        let activate = |server: &mut AddedServer, now| server.activate(version, now);
        self.change(scope, name, ("use", "switched"), version, activate).await
    }

    async fn fail(
        &self,
        scope: &PlatformScope,
        name: &ServerName,
        version: &Version,
        reason: &str,
    ) -> Result<AddedServer> {
        let fail = |server: &mut AddedServer, now| server.fail(version, reason, now).map(|()| true);
        self.change(scope, name, ("fail", "release_failed"), version, fail).await
    }

    async fn remove(&self, scope: &PlatformScope, name: &ServerName) -> Result<AddedServer> {
        let mut tx = self.kernel.control(scope).await?;
        let found = find(tx.conn(), row::BY_NAME, name, &self.master).await?;
        let server = found.ok_or_else(|| not_found(name))?;
        sqlx::query(row::DELETE).bind(name.as_str()).execute(tx.conn()).await.or_fault("server.remove")?;
        record(&mut tx, row::change(scope, ("remove", "removed"), &server, None)).await?;
        tx.commit().await?;
        Ok(server)
    }

    async fn refused(&self, scope: &PlatformScope, refusal: &Refusal) -> Result<()> {
        let mut tx = self.kernel.control(scope).await?;
        record(&mut tx, row::refusal(scope, refusal)).await?;
        tx.commit().await
    }
}

async fn find(
    conn: &mut SqliteConnection,
    statement: &'static str,
    name: &ServerName,
    master: &MasterKey,
) -> Result<Option<AddedServer>> {
    let row = sqlx::query_as::<_, Row>(statement).bind(name.as_str()).fetch_optional(conn).await;
    row.or_fault("server.find")?.map(|row| row::server(row, master)).transpose()
}

async fn record(tx: &mut ControlTx, change: Change) -> Result<()> {
    tx.emit(change.event).await?;
    tx.audit(change.record).await?;
    Ok(())
}
