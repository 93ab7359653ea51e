//! The audit log on SQLite: the platform's chain in `control.db`, a tenant's in its own file.
//!
//! One writer at a time, so the order of `seq` is the order of commits.

use async_trait::async_trait;
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::{
    AuditStore, Chain, Checkpoint, Entry, Found, Head, Outcome, Seal, SealOrder, SealedBatch, SealedEntry,
    Search, StoredEntry, Stray,
    chain_tx::{ChainRead, ChainTx, service_scope},
    list::unknown_cursor,
    row::{EntryRow, SealRow, more_behind},
    store::{digest_of, link, require_fence},
};
use crate::{
    clock::Timestamp,
    error::Result,
    scope::PlatformScope,
    sql::{OrFault as _, sqlite::SqliteKernel},
};

/// The audit log of a SQLite kernel.
#[derive(Debug, Clone)]
pub struct SqliteAudit(SqliteKernel);

impl SqliteAudit {
    /// The audit log in the kernel's databases.
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
impl AuditStore for SqliteAudit {
    async fn chains(&self, scope: &PlatformScope, after: Option<&Chain>, limit: u32) -> Result<Vec<Chain>> {
        self.0.chains(scope, after, limit).await
    }

    async fn append(&self, scope: &PlatformScope, chain: &Chain, entries: &[Entry]) -> Result<()> {
        let mut tx = self.begin(scope, chain).await?;
        for entry in entries {
            tx.append(entry).await?;
        }
        tx.commit().await
    }

    async fn seal(&self, scope: &PlatformScope, chain: &Chain, order: &SealOrder<'_>) -> Result<SealedBatch> {
        let mut tx = self.begin(scope, chain).await?;
        let head = head(tx.conn(), chain).await?;
        require_fence(&head, order.fence)?;
        let records = unsealed(tx.conn(), chain, order.limit).await?;
        let seals = link(chain, &head, &records);
        let Some(last) = seals.last() else { return Ok(SealedBatch { sealed: 0, left: 0 }) };
        for seal in &seals {
            insert_seal(tx.conn(), chain, seal, order).await?;
        }
        insert_checkpoint(tx.conn(), &Checkpoint::sign(chain, last.seq, last.hash, order.now, order.key))
            .await?;
        let left = count_unsealed(tx.conn(), chain).await?;
        tx.commit().await?;
        Ok(SealedBatch { sealed: seals.len() as u64, left })
    }

    async fn head(&self, scope: &PlatformScope, chain: &Chain) -> Result<Head> {
        head(self.read(scope, chain).await?.conn(), chain).await
    }

    async fn sealed(
        &self,
        scope: &PlatformScope,
        chain: &Chain,
        after: i64,
        limit: u32,
    ) -> Result<Vec<SealedEntry>> {
        let mut read = self.read(scope, chain).await?;
        sqlx::query_as::<_, SealRow>(
            "SELECT s.seq AS link, s.record_id, s.record_seq, s.prev_hash, s.hash,
                    a.seq, a.id, a.time, a.actor, a.action, a.resource, a.outcome, a.request_id, a.detail,
                    a.detail_digest
             FROM audit_seal AS s LEFT JOIN audit AS a ON a.id = s.record_id AND a.tenant_id = s.tenant_id
             WHERE s.tenant_id = ? AND s.seq > ? ORDER BY s.seq LIMIT ?",
        )
        .bind(chain.as_str())
        .bind(after)
        .bind(limit)
        .fetch_all(read.conn())
        .await
        .or_fault("audit.verify")?
        .into_iter()
        .map(SealRow::read)
        .collect()
    }

    async fn hashes(
        &self,
        scope: &PlatformScope,
        chain: &Chain,
        seqs: &[i64],
    ) -> Result<Vec<(i64, [u8; 32])>> {
        let mut read = self.read(scope, chain).await?;
        let wanted = serde_json::Value::from(seqs).to_string();
        sqlx::query_as::<_, (i64, Vec<u8>)>(
            "SELECT seq, hash FROM audit_seal
             WHERE tenant_id = ? AND seq IN (SELECT value FROM json_each(?)) ORDER BY seq",
        )
        .bind(chain.as_str())
        .bind(wanted)
        .fetch_all(read.conn())
        .await
        .or_fault("audit.verify")?
        .into_iter()
        .map(|(seq, hash)| Ok((seq, digest_of(&hash)?)))
        .collect()
    }

    async fn checkpoints(
        &self,
        scope: &PlatformScope,
        chain: &Chain,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Checkpoint>> {
        let mut read = self.read(scope, chain).await?;
        sqlx::query_as::<_, (i64, Vec<u8>, i64, String, Vec<u8>)>(
            "SELECT seq, hash, time, key_id, signature FROM audit_checkpoint
             WHERE tenant_id = ? AND seq > ? ORDER BY seq LIMIT ?",
        )
        .bind(chain.as_str())
        .bind(after)
        .bind(limit)
        .fetch_all(read.conn())
        .await
        .or_fault("audit.verify")?
        .into_iter()
        .map(|(seq, hash, time, key_id, signature)| {
            let (hash, time) = (digest_of(&hash)?, Timestamp::from_micros(time));
            Ok(Checkpoint { chain: chain.clone(), seq, hash, time, key_id, signature })
        })
        .collect()
    }

    async fn unsealed(&self, scope: &PlatformScope, chain: &Chain) -> Result<u64> {
        count_unsealed(self.read(scope, chain).await?.conn(), chain).await
    }

    async fn strays(&self, scope: &PlatformScope, chain: &Chain, limit: u32) -> Result<Vec<Stray>> {
        let mut read = self.read(scope, chain).await?;
        let ids: Vec<String> = sqlx::query_scalar(
            "SELECT a.id FROM audit AS a
             WHERE a.tenant_id = ?1
               AND a.seq <= (SELECT max(record_seq) FROM audit_seal WHERE tenant_id = ?1)
               AND NOT EXISTS (SELECT 1 FROM audit_seal AS s WHERE s.record_id = a.id AND s.tenant_id = ?1)
             ORDER BY a.seq LIMIT ?2",
        )
        .bind(chain.as_str())
        .bind(limit)
        .fetch_all(read.conn())
        .await
        .or_fault("audit.verify")?;
        Ok(ids.into_iter().map(Stray::Inserted).collect())
    }

    async fn find(&self, scope: &PlatformScope, chain: &Chain, search: &Search<'_>) -> Result<Found> {
        let (window, filter) = (search.window, search.filter);
        let mut read = self.read(scope, chain).await?;
        let from = match window.after {
            None if window.newest_first => i64::MAX,
            None => 0,
            Some(id) => place_of(read.conn(), chain, id).await?,
        };
        let (records, scanned) = match window.newest_first {
            true => (FIND_NEWEST, SCANNED_NEWEST),
            false => (FIND_OLDEST, SCANNED_OLDEST),
        };
        let rows: Vec<EntryRow> = sqlx::query_as(records)
            .bind(chain.as_str())
            .bind(from)
            .bind(search.scan)
            .bind(filter.from.map(Timestamp::as_micros))
            .bind(filter.until.map(Timestamp::as_micros))
            .bind(filter.actor.as_deref())
            .bind(filter.one_action())
            .bind(filter.area())
            .bind(filter.outcome.map(Outcome::as_str))
            .bind(i64::from(search.limit) + 1)
            .fetch_all(read.conn())
            .await
            .or_fault("audit.read")?;
        let scanned: Vec<String> = sqlx::query_scalar(scanned)
            .bind(chain.as_str())
            .bind(from)
            .bind(search.scan)
            .fetch_all(read.conn())
            .await
            .or_fault("audit.read")?;
        let records = rows.into_iter().map(EntryRow::read).collect::<Result<Vec<_>>>()?;
        Ok(Found::of(records, search.limit, more_behind(&scanned)?))
    }
}

/// The inner query is what is looked at, the outer one what is returned.
const FIND_NEWEST: &str = "
    SELECT seq, id, time, actor, action, resource, outcome, request_id, detail, detail_digest
    FROM (SELECT * FROM audit WHERE tenant_id = ?1 AND seq < ?2 ORDER BY seq DESC LIMIT ?3)
    WHERE (?4 IS NULL OR time >= ?4) AND (?5 IS NULL OR time < ?5) AND (?6 IS NULL OR actor = ?6)
      AND (?7 IS NULL OR action = ?7) AND (?8 IS NULL OR substr(action, 1, length(?8)) = ?8)
      AND (?9 IS NULL OR outcome = ?9)
    ORDER BY seq DESC LIMIT ?10";

const FIND_OLDEST: &str = "
    SELECT seq, id, time, actor, action, resource, outcome, request_id, detail, detail_digest
    FROM (SELECT * FROM audit WHERE tenant_id = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3)
    WHERE (?4 IS NULL OR time >= ?4) AND (?5 IS NULL OR time < ?5) AND (?6 IS NULL OR actor = ?6)
      AND (?7 IS NULL OR action = ?7) AND (?8 IS NULL OR substr(action, 1, length(?8)) = ?8)
      AND (?9 IS NULL OR outcome = ?9)
    ORDER BY seq LIMIT ?10";

/// The last record that is looked at, and the one behind it.
const SCANNED_NEWEST: &str =
    "SELECT id FROM audit WHERE tenant_id = ?1 AND seq < ?2 ORDER BY seq DESC LIMIT 2 OFFSET ?3 - 1";

const SCANNED_OLDEST: &str =
    "SELECT id FROM audit WHERE tenant_id = ?1 AND seq > ?2 ORDER BY seq LIMIT 2 OFFSET ?3 - 1";

async fn head(conn: &mut SqliteConnection, chain: &Chain) -> Result<Head> {
    let row: Option<(i64, Vec<u8>, i64)> = sqlx::query_as(
        "SELECT seq, hash, fence FROM audit_seal WHERE tenant_id = ? ORDER BY seq DESC LIMIT 1",
    )
    .bind(chain.as_str())
    .fetch_optional(conn)
    .await
    .or_fault("audit.seal")?;
    match row {
        None => Ok(Head::default()),
        Some((seq, hash, fence)) => Ok(Head { seq, hash: digest_of(&hash)?, fence }),
    }
}

/// What waits is what stands behind the last record that was sealed.
async fn unsealed(conn: &mut SqliteConnection, chain: &Chain, limit: u32) -> Result<Vec<StoredEntry>> {
    let rows: Vec<EntryRow> = sqlx::query_as(
        "SELECT seq, id, time, actor, action, resource, outcome, request_id, detail, detail_digest FROM audit
         WHERE tenant_id = ?1
           AND seq > (SELECT coalesce(max(record_seq), 0) FROM audit_seal WHERE tenant_id = ?1)
         ORDER BY seq LIMIT ?2",
    )
    .bind(chain.as_str())
    .bind(limit)
    .fetch_all(conn)
    .await
    .or_fault("audit.seal")?;
    rows.into_iter().map(EntryRow::read).collect()
}

async fn count_unsealed(conn: &mut SqliteConnection, chain: &Chain) -> Result<u64> {
    let count: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM audit
         WHERE tenant_id = ?1
           AND seq > (SELECT coalesce(max(record_seq), 0) FROM audit_seal WHERE tenant_id = ?1)",
    )
    .bind(chain.as_str())
    .fetch_one(conn)
    .await
    .or_fault("audit.seal")?;
    Ok(count.unsigned_abs())
}

async fn insert_seal(
    conn: &mut SqliteConnection,
    chain: &Chain,
    seal: &Seal,
    order: &SealOrder<'_>,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO audit_seal (tenant_id, seq, record_id, record_seq, prev_hash, hash, sealed_at, fence)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(chain.as_str())
    .bind(seal.seq)
    .bind(seal.record_id.to_string())
    .bind(seal.record_seq)
    .bind(seal.prev_hash.as_slice())
    .bind(seal.hash.as_slice())
    .bind(order.now.as_micros())
    .bind(order.fence)
    .execute(conn)
    .await
    .or_fault("audit.seal")?;
    Ok(())
}

async fn insert_checkpoint(conn: &mut SqliteConnection, checkpoint: &Checkpoint) -> Result<()> {
    sqlx::query(
        "INSERT INTO audit_checkpoint (tenant_id, seq, hash, time, key_id, signature)
         VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(checkpoint.chain.as_str())
    .bind(checkpoint.seq)
    .bind(checkpoint.hash.as_slice())
    .bind(checkpoint.time.as_micros())
    .bind(&checkpoint.key_id)
    .bind(checkpoint.signature.as_slice())
    .execute(conn)
    .await
    .or_fault("audit.seal")?;
    Ok(())
}

async fn place_of(conn: &mut SqliteConnection, chain: &Chain, id: Uuid) -> Result<i64> {
    let place = sqlx::query_scalar("SELECT seq FROM audit WHERE tenant_id = ? AND id = ?")
        .bind(chain.as_str())
        .bind(id.to_string())
        .fetch_optional(conn)
        .await
        .or_fault("audit.read")?;
    place.ok_or_else(unknown_cursor)
}
