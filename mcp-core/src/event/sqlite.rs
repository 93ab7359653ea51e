//! Outboxes in SQLite: the platform's in `control.db`, a tenant's in its own file.
//!
//! One writer at a time, so the order of `seq` is the order of commits.

use async_trait::async_trait;
use sqlx::SqliteConnection;

use super::{
    EventFeed, FeedItem, MAX_FEED, OutboxStore, Waiting,
    outbox::{WaitingRow, item, require_fence, waiting},
};
use crate::{
    audit::{
        Chain,
        chain_tx::{ChainRead, ChainTx, service_scope},
    },
    clock::Timestamp,
    error::Result,
    scope::{PlatformScope, Scope},
    sql::{OrFault as _, sqlite::SqliteKernel},
};

/// The outboxes and feeds of a SQLite kernel.
#[derive(Debug, Clone)]
pub struct SqliteOutbox(SqliteKernel);

impl SqliteOutbox {
    /// The outboxes in the kernel's databases.
    #[must_use]
    pub const fn new(kernel: SqliteKernel) -> Self {
        Self(kernel)
    }

    async fn begin(&self, scope: &PlatformScope, chain: &Chain) -> Result<ChainTx<sqlx::Sqlite>> {
        Ok(match chain {
            Chain::Platform => ChainTx::Platform(self.0.control(scope).await?),
            Chain::Tenant(tenant) => ChainTx::Tenant(self.0.begin(&service_scope(scope, tenant)).await?),
        })
    }

    async fn read(&self, scope: &PlatformScope, chain: &Chain) -> Result<ChainRead<sqlx::Sqlite>> {
        Ok(match chain {
            Chain::Platform => ChainRead::Platform(self.0.control_read(scope).await?),
            Chain::Tenant(tenant) => ChainRead::Tenant(self.0.read(&service_scope(scope, tenant)).await?),
        })
    }
}

#[async_trait]
impl OutboxStore for SqliteOutbox {
    async fn chains(&self, scope: &PlatformScope, after: Option<&Chain>, limit: u32) -> Result<Vec<Chain>> {
        self.0.chains(scope, after, limit).await
    }

    async fn committed(&self) -> Vec<Chain> {
        self.0.commits().marked().await
    }

    async fn waiting(&self, scope: &PlatformScope, chain: &Chain, limit: u32) -> Result<Vec<Waiting>> {
        let mut read = self.read(scope, chain).await?;
        let (_, seq, _) = last(read.conn(), chain).await?;
        let rows: Vec<WaitingRow> = sqlx::query_as(
            "SELECT seq, created_at, envelope FROM outbox WHERE tenant_id = ? AND seq > ? ORDER BY seq LIMIT ?",
        )
        .bind(chain.as_str())
        .bind(seq)
        .bind(limit)
        .fetch_all(read.conn())
        .await
        .or_fault("event.waiting")?;
        rows.into_iter().map(waiting).collect()
    }

    async fn lag(&self, scope: &PlatformScope, chain: &Chain) -> Result<u64> {
        let mut read = self.read(scope, chain).await?;
        let (_, seq, _) = last(read.conn(), chain).await?;
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM outbox WHERE tenant_id = ? AND seq > ?")
            .bind(chain.as_str())
            .bind(seq)
            .fetch_one(read.conn())
            .await
            .or_fault("event.lag")?;
        Ok(count.unsigned_abs())
    }

    async fn published(
        &self,
        scope: &PlatformScope,
        chain: &Chain,
        events: &[Waiting],
        fence: i64,
        now: Timestamp,
    ) -> Result<()> {
        let mut tx = self.begin(scope, chain).await?;
        let (position, _, last_fence) = last(tx.conn(), chain).await?;
        require_fence(last_fence, fence)?;
        for (position, event) in (position + 1..).zip(events) {
            sqlx::query(
                "INSERT INTO outbox_published (tenant_id, position, seq, published_at, fence) VALUES (?, ?, ?, ?, ?)",
            )
            .bind(chain.as_str())
            .bind(position)
            .bind(event.seq)
            .bind(now.as_micros())
            .bind(fence)
            .execute(tx.conn())
            .await
            .or_fault("event.published")?;
        }
        tx.commit().await
    }

    async fn prune(
        &self,
        scope: &PlatformScope,
        chain: &Chain,
        before: Timestamp,
        limit: u32,
    ) -> Result<u64> {
        let mut tx = self.begin(scope, chain).await?;
        let (newest, ..) = last(tx.conn(), chain).await?;
        let old: Option<i64> = sqlx::query_scalar(
            "SELECT max(position) FROM (SELECT position FROM outbox_published
             WHERE tenant_id = ? AND position < ? AND published_at < ? ORDER BY position LIMIT ?)",
        )
        .bind(chain.as_str())
        .bind(newest)
        .bind(before.as_micros())
        .bind(limit)
        .fetch_one(tx.conn())
        .await
        .or_fault("event.prune")?;
        let Some(old) = old else { return Ok(0) };
        sqlx::query(
            "DELETE FROM outbox WHERE tenant_id = ?1 AND seq IN
             (SELECT seq FROM outbox_published WHERE tenant_id = ?1 AND position <= ?2)",
        )
        .bind(chain.as_str())
        .bind(old)
        .execute(tx.conn())
        .await
        .or_fault("event.prune")?;
        let gone = sqlx::query("DELETE FROM outbox_published WHERE tenant_id = ? AND position <= ?")
            .bind(chain.as_str())
            .bind(old)
            .execute(tx.conn())
            .await
            .or_fault("event.prune")?;
        tx.commit().await?;
        Ok(gone.rows_affected())
    }
}

#[async_trait]
impl EventFeed for SqliteOutbox {
    async fn after(&self, scope: &Scope, position: i64, limit: u32) -> Result<Vec<FeedItem>> {
        let mut read = self.0.read(scope).await?;
        let rows: Vec<(i64, String)> = sqlx::query_as(
            "SELECT p.position, o.envelope FROM outbox_published AS p
             JOIN outbox AS o ON o.tenant_id = p.tenant_id AND o.seq = p.seq
             WHERE p.tenant_id = ? AND p.position > ? ORDER BY p.position LIMIT ?",
        )
        .bind(scope.tenant().as_str())
        .bind(position)
        .bind(limit.clamp(1, MAX_FEED))
        .fetch_all(read.conn())
        .await
        .or_fault("event.feed")?;
        rows.into_iter().map(item).collect()
    }

    async fn newest(&self, scope: &Scope) -> Result<i64> {
        let mut read = self.0.read(scope).await?;
        let newest = last(read.conn(), &Chain::Tenant(scope.tenant().clone())).await?;
        Ok(newest.0)
    }
}

/// Number, place and fence of the last event that was published; zeros if there is none.
async fn last(conn: &mut SqliteConnection, chain: &Chain) -> Result<(i64, i64, i64)> {
    let row = sqlx::query_as(
        "SELECT position, seq, fence FROM outbox_published WHERE tenant_id = ? ORDER BY position DESC LIMIT 1",
    )
    .bind(chain.as_str())
    .fetch_optional(conn)
    .await
    .or_fault("event.published")?;
    Ok(row.unwrap_or_default())
}
