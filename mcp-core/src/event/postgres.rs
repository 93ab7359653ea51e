//! Outboxes in PostgreSQL, read as the relay role.
//!
//! A sequence's values are taken before the commit, so the order of `seq` is not that of commits. What waits
//! stands in `outbox_pending` with its transaction; only transactions below the snapshot's horizon are shown, in
//! the order (transaction, seq), so that one that commits late finds its place still free.

use async_trait::async_trait;
use sqlx::PgConnection;

use super::{
    EventFeed, FeedItem, MAX_FEED, OutboxStore, Waiting,
    outbox::{WaitingRow, item, require_fence, waiting},
};
use crate::{
    audit::Chain,
    clock::Timestamp,
    error::Result,
    scope::{PlatformScope, Scope},
    sql::{
        OrFault as _,
        postgres::{PgKernel, query, query_as, query_scalar},
    },
};

/// The outboxes and feeds of a PostgreSQL kernel. Relaying needs the relay's URL, a feed does not.
#[derive(Debug, Clone)]
pub struct PgOutbox(PgKernel);

impl PgOutbox {
    /// The outboxes in the kernel's databases.
    #[must_use]
    pub const fn new(kernel: PgKernel) -> Self {
        Self(kernel)
    }
}

#[async_trait]
impl OutboxStore for PgOutbox {
    async fn chains(&self, scope: &PlatformScope, after: Option<&Chain>, limit: u32) -> Result<Vec<Chain>> {
        self.0.chains(scope, after, limit).await
    }

    async fn committed(&self) -> Vec<Chain> {
        self.0.commits().marked().await
    }

    async fn waiting(&self, _: &PlatformScope, chain: &Chain, limit: u32) -> Result<Vec<Waiting>> {
        let mut read = self.0.relay(chain, false).await?;
        // A transaction id at or above the horizon's end was written by another cluster, and came with a dump.
        let rows: Vec<WaitingRow> = query_as(
            "SELECT o.seq, o.created_at, o.envelope
             FROM outbox_pending AS p JOIN outbox AS o ON o.tenant_id = p.tenant_id AND o.seq = p.seq
             WHERE p.tenant_id = $1
               AND (p.xid < pg_snapshot_xmin(pg_current_snapshot()) OR p.xid >= pg_snapshot_xmax(pg_current_snapshot()))
             ORDER BY p.xid, p.seq LIMIT $2",
        )
        .bind(chain.as_str())
        .bind(i64::from(limit))
        .fetch_all(&mut *read)
        .await
        .or_fault("event.waiting")?;
        rows.into_iter().map(waiting).collect()
    }

    async fn lag(&self, _: &PlatformScope, chain: &Chain) -> Result<u64> {
        let mut read = self.0.relay(chain, false).await?;
        let count: i64 = query_scalar("SELECT count(*) FROM outbox_pending WHERE tenant_id = $1")
            .bind(chain.as_str())
            .fetch_one(&mut *read)
            .await
            .or_fault("event.lag")?;
        Ok(count.unsigned_abs())
    }

    async fn published(
        &self,
        _: &PlatformScope,
        chain: &Chain,
        events: &[Waiting],
        fence: i64,
        now: Timestamp,
    ) -> Result<()> {
        let mut tx = self.0.relay(chain, true).await?;
        let (position, last_fence) = last(&mut tx, chain).await?;
        require_fence(last_fence, fence)?;
        let places: Vec<i64> = events.iter().map(|event| event.seq).collect();
        query(
            "INSERT INTO outbox_published (tenant_id, position, seq, published_at, fence)
             SELECT $1, $2 + place.number, place.seq, $4, $5
             FROM unnest($3) WITH ORDINALITY AS place (seq, number)",
        )
        .bind(chain.as_str())
        .bind(position)
        .bind(places.clone())
        .bind(now.as_micros())
        .bind(fence)
        .execute(&mut *tx)
        .await
        .or_fault("event.published")?;
        query("DELETE FROM outbox_pending WHERE tenant_id = $1 AND seq = ANY($2)")
            .bind(chain.as_str())
            .bind(places)
            .execute(&mut *tx)
            .await
            .or_fault("event.published")?;
        tx.commit().await.or_fault("event.published")
    }

    async fn prune(&self, _: &PlatformScope, chain: &Chain, before: Timestamp, limit: u32) -> Result<u64> {
        let mut tx = self.0.relay(chain, true).await?;
        let (newest, _) = last(&mut tx, chain).await?;
        let gone: i64 = query_scalar(
            "WITH old AS (
                 DELETE FROM outbox_published WHERE tenant_id = $1 AND position IN (
                     SELECT position FROM outbox_published
                     WHERE tenant_id = $1 AND position < $2 AND published_at < $3 ORDER BY position LIMIT $4)
                 RETURNING tenant_id, seq
             ), gone AS (
                 DELETE FROM outbox AS o USING old WHERE o.tenant_id = old.tenant_id AND o.seq = old.seq
                 RETURNING o.seq
             )
             SELECT count(*) FROM gone",
        )
        .bind(chain.as_str())
        .bind(newest)
        .bind(before.as_micros())
        .bind(i64::from(limit))
        .fetch_one(&mut *tx)
        .await
        .or_fault("event.prune")?;
        tx.commit().await.or_fault("event.prune")?;
        Ok(gone.unsigned_abs())
    }
}

#[async_trait]
impl EventFeed for PgOutbox {
    async fn after(&self, scope: &Scope, position: i64, limit: u32) -> Result<Vec<FeedItem>> {
        let mut read = self.0.read(scope).await?;
        let rows: Vec<(i64, String)> = query_as(
            "SELECT p.position, o.envelope FROM outbox_published AS p
             JOIN outbox AS o ON o.tenant_id = p.tenant_id AND o.seq = p.seq
             WHERE p.tenant_id = $1 AND p.position > $2 ORDER BY p.position LIMIT $3",
        )
        .bind(scope.tenant().as_str())
        .bind(position)
        .bind(i64::from(limit.clamp(1, MAX_FEED)))
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

/// Number and fence of the last event that was published; zeros if there is none.
async fn last(conn: &mut PgConnection, chain: &Chain) -> Result<(i64, i64)> {
    let row = query_as(
        "SELECT position, fence FROM outbox_published WHERE tenant_id = $1 ORDER BY position DESC LIMIT 1",
    )
    .bind(chain.as_str())
    .fetch_optional(conn)
    .await
    .or_fault("event.published")?;
    Ok(row.unwrap_or_default())
}
