//! Operator keys in SQLite, in the kernel's control tables.

use async_trait::async_trait;
use mcp_core::{
    PlatformScope, Result,
    sql::{
        OrFault as _,
        sqlite::{ControlTx, SqliteKernel},
    },
};
use sqlx::SqliteConnection;

use super::{
    OperatorKey, OperatorKeyStore, StoredOperatorKey,
    row::{self, Row},
    store::not_found,
};
use crate::{
    key::{KeyId, already_exists, parse_cursor},
    sql::Change,
    tenant::{MAX_PAGE, Page},
};

/// An [`OperatorKeyStore`] in SQLite.
#[derive(Debug, Clone)]
pub struct SqliteOperatorKeyStore {
    kernel: SqliteKernel,
}

impl SqliteOperatorKeyStore {
    /// A store on `kernel`, which was opened with [`SQLITE_MIGRATIONS`](crate::SQLITE_MIGRATIONS).
    #[must_use]
    pub const fn new(kernel: SqliteKernel) -> Self {
        Self { kernel }
    }
}

#[async_trait]
impl OperatorKeyStore for SqliteOperatorKeyStore {
    async fn insert(
        &self,
        scope: &PlatformScope,
        StoredOperatorKey { key, digest }: StoredOperatorKey,
    ) -> Result<()> {
        let mut tx = self.kernel.control(scope).await?;
        let inserted = sqlx::query(row::INSERT)
            .bind(key.id.as_str())
            .bind(key.name.as_str())
            .bind(key.principal_id.as_str())
            .bind(&digest.as_bytes()[..])
            .bind(key.created_at.as_micros())
            .bind(key.expires_at.map(|at| at.as_micros()))
            .bind(key.revoked_at.map(|at| at.as_micros()))
            .execute(tx.conn())
            .await
            .or_fault("operator_key.create")?;
        if inserted.rows_affected() == 0 {
            return Err(already_exists());
        }
        record(&mut tx, row::change(scope, ("create", "created"), &key)).await?;
        tx.commit().await
    }

    async fn find(&self, scope: &PlatformScope, id: &KeyId) -> Result<Option<StoredOperatorKey>> {
        let mut read = self.kernel.control_read(scope).await?;
        find(read.conn(), id).await
    }

    async fn list(
        &self,
        scope: &PlatformScope,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<OperatorKey>> {
        let (after, limit) = (parse_cursor(cursor)?, limit.clamp(1, MAX_PAGE));
        let mut read = self.kernel.control_read(scope).await?;
        let rows = sqlx::query_as::<_, Row>(row::PAGE)
            .bind(after.map_or_else(String::new, |id| id.to_string()))
            .bind(i64::from(limit) + 1)
            .fetch_all(read.conn())
            .await
            .or_fault("operator_key.list")?;
        let items = rows.into_iter().map(|row| Ok(row::key(row)?.key)).collect::<Result<_>>()?;
        Ok(Page::cut(items, limit, |key: &OperatorKey| key.id.to_string()))
    }

    async fn revoke(&self, scope: &PlatformScope, id: &KeyId) -> Result<OperatorKey> {
        let mut tx = self.kernel.control(scope).await?;
        let now = tx.now();
        let revoked = sqlx::query(row::REVOKE)
            .bind(id.as_str())
            .bind(now.as_micros())
            .execute(tx.conn())
            .await
            .or_fault("operator_key.revoke")?;
        let key = find(tx.conn(), id).await?.ok_or_else(|| not_found(id))?.key;
        if revoked.rows_affected() == 0 {
            tx.rollback().await?;
            return Ok(key);
        }
        record(&mut tx, row::change(scope, ("revoke", "revoked"), &key)).await?;
        tx.commit().await?;
        Ok(key)
    }
}

async fn find(conn: &mut SqliteConnection, id: &KeyId) -> Result<Option<StoredOperatorKey>> {
    let row = sqlx::query_as::<_, Row>(row::BY_ID).bind(id.as_str()).fetch_optional(conn).await;
    row.or_fault("operator_key.find")?.map(row::key).transpose()
}

async fn record(tx: &mut ControlTx, change: Change) -> Result<()> {
    tx.emit(change.event).await?;
    tx.audit(change.record).await?;
    Ok(())
}
