//! The audit log on PostgreSQL: the platform's chain in the control tables, a tenant's with its data.
//!
//! A sequence's values are taken before the commit, so the order of `seq` is not that of commits. What waits
//! stands in `audit_pending` with its transaction; only transactions below the snapshot's horizon are sealed,
//! in the order (transaction, seq), so that one that commits late finds its place still free.

use async_trait::async_trait;
use sqlx::{PgConnection, Postgres};
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
    sql::{
        Begun, OrFault as _,
        postgres::{PgKernel, query, query_as, query_scalar},
    },
};

/// The audit log of a PostgreSQL kernel.
///
/// Sealing and verifying need the relay's URL; appending and [`find`](AuditStore::find) do not.
#[derive(Debug, Clone)]
pub struct PgAudit(PgKernel);

impl PgAudit {
    /// The audit log in the kernel's databases.
    #[must_use]
    pub const fn new(kernel: PgKernel) -> Self {
        Self(kernel)
    }

    /// As the relay role.
    async fn relay(&self, chain: &Chain) -> Result<Begun<Postgres>> {
        self.0.relay(chain, false).await
    }

    async fn begin(&self, scope: &PlatformScope, chain: &Chain) -> Result<ChainTx<Postgres>> {
        Ok(match chain {
            Chain::Platform => ChainTx::Platform(self.0.control(scope).await?),
            Chain::Tenant(tenant) => ChainTx::Tenant(self.0.begin(&service_scope(scope, tenant)).await?),
        })
    }

    async fn read(&self, scope: &PlatformScope, chain: &Chain) -> Result<ChainRead<Postgres>> {
        Ok(match chain {
            Chain::Platform => ChainRead::Platform(self.0.control_read(scope).await?),
            Chain::Tenant(tenant) => ChainRead::Tenant(self.0.read(&service_scope(scope, tenant)).await?),
        })
    }
}

#[async_trait]
impl AuditStore for PgAudit {
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

    async fn seal(
        &self,
        _scope: &PlatformScope,
        chain: &Chain,
        order: &SealOrder<'_>,
    ) -> Result<SealedBatch> {
        let mut tx = self.0.relay(chain, true).await?;
        let head = head(&mut tx, chain).await?;
        require_fence(&head, order.fence)?;
        let records = unsealed(&mut tx, chain, order.limit).await?;
        let seals = link(chain, &head, &records);
        let Some(last) = seals.last() else {
            return Ok(SealedBatch { sealed: 0, left: count_unsealed(&mut tx, chain).await? });
        };
        for seal in &seals {
            insert_seal(&mut tx, chain, seal, order).await?;
        }
        insert_checkpoint(&mut tx, &Checkpoint::sign(chain, last.seq, last.hash, order.now, order.key))
            .await?;
        let left = count_unsealed(&mut tx, chain).await?;
        tx.commit().await.or_fault("audit.seal")?;
        Ok(SealedBatch { sealed: seals.len() as u64, left })
    }

    async fn head(&self, _scope: &PlatformScope, chain: &Chain) -> Result<Head> {
        head(&mut *self.relay(chain).await?, chain).await
    }

    async fn sealed(
        &self,
        _scope: &PlatformScope,
        chain: &Chain,
        after: i64,
        limit: u32,
    ) -> Result<Vec<SealedEntry>> {
        let mut read = self.relay(chain).await?;
        query_as::<SealRow>(
            "SELECT s.seq AS link, s.record_id, s.record_seq, s.prev_hash, s.hash,
                    a.seq, a.id, a.time, a.actor, a.action, a.resource, a.outcome, a.request_id, a.detail,
                    a.detail_digest
             FROM audit_seal AS s LEFT JOIN audit AS a ON a.id = s.record_id AND a.tenant_id = s.tenant_id
             WHERE s.tenant_id = $1 AND s.seq > $2 ORDER BY s.seq LIMIT $3",
        )
        .bind(chain.as_str())
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(&mut *read)
        .await
        .or_fault("audit.verify")?
        .into_iter()
        .map(SealRow::read)
        .collect()
    }

    async fn hashes(
        &self,
        _scope: &PlatformScope,
        chain: &Chain,
        seqs: &[i64],
    ) -> Result<Vec<(i64, [u8; 32])>> {
        let mut read = self.relay(chain).await?;
        query_as::<(i64, Vec<u8>)>(
            "SELECT seq, hash FROM audit_seal
             WHERE tenant_id = $1 AND seq = ANY($2) ORDER BY seq",
        )
        .bind(chain.as_str())
        .bind(seqs.to_vec())
        .fetch_all(&mut *read)
        .await
        .or_fault("audit.verify")?
        .into_iter()
        .map(|(seq, hash)| Ok((seq, digest_of(&hash)?)))
        .collect()
    }

    async fn checkpoints(
        &self,
        _scope: &PlatformScope,
        chain: &Chain,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Checkpoint>> {
        let mut read = self.relay(chain).await?;
        query_as::<(i64, Vec<u8>, i64, String, Vec<u8>)>(
            "SELECT seq, hash, time, key_id, signature FROM audit_checkpoint
             WHERE tenant_id = $1 AND seq > $2 ORDER BY seq LIMIT $3",
        )
        .bind(chain.as_str())
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(&mut *read)
        .await
        .or_fault("audit.verify")?
        .into_iter()
        .map(|(seq, hash, time, key_id, signature)| {
            let (hash, time) = (digest_of(&hash)?, Timestamp::from_micros(time));
            Ok(Checkpoint { chain: chain.clone(), seq, hash, time, key_id, signature })
        })
        .collect()
    }

    async fn unsealed(&self, _scope: &PlatformScope, chain: &Chain) -> Result<u64> {
        count_unsealed(&mut *self.relay(chain).await?, chain).await
    }

    async fn strays(&self, _scope: &PlatformScope, chain: &Chain, limit: u32) -> Result<Vec<Stray>> {
        let mut read = self.relay(chain).await?;
        let rows: Vec<(String, bool)> = query_as(
            "(SELECT a.id, true FROM audit AS a
              WHERE a.tenant_id = $1
                AND NOT EXISTS (SELECT 1 FROM audit_seal AS s WHERE s.tenant_id = $1 AND s.record_id = a.id)
                AND NOT EXISTS (SELECT 1 FROM audit_pending AS p WHERE p.tenant_id = $1 AND p.record_id = a.id)
              ORDER BY a.seq LIMIT $2)
             UNION ALL
             (SELECT p.record_id, false FROM audit_pending AS p
              WHERE p.tenant_id = $1
                AND NOT EXISTS (SELECT 1 FROM audit AS a WHERE a.tenant_id = $1 AND a.id = p.record_id)
              ORDER BY p.seq LIMIT $2)",
        )
        .bind(chain.as_str())
        .bind(i64::from(limit))
        .fetch_all(&mut *read)
        .await
        .or_fault("audit.verify")?;
        let stray = |(id, inserted)| if inserted { Stray::Inserted(id) } else { Stray::Removed(id) };
        Ok(rows.into_iter().map(stray).collect())
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
        // Both see the same snapshot.
        let scanned: Vec<String> = query_scalar(scanned)
            .bind(chain.as_str())
            .bind(from)
            .bind(i64::from(search.scan))
            .fetch_all(read.conn())
            .await
            .or_fault("audit.read")?;
        let rows: Vec<EntryRow> = query_as(records)
            .bind(chain.as_str())
            .bind(from)
            .bind(i64::from(search.scan))
            .bind(filter.from.map(Timestamp::as_micros))
            .bind(filter.until.map(Timestamp::as_micros))
            .bind(filter.actor.clone())
            .bind(filter.one_action().map(str::to_owned))
            .bind(filter.area().map(str::to_owned))
            .bind(filter.outcome.map(Outcome::as_str))
            .bind(i64::from(search.limit) + 1)
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
    FROM (SELECT * FROM audit WHERE tenant_id = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3) AS looked_at
    WHERE ($4::BIGINT IS NULL OR time >= $4) AND ($5::BIGINT IS NULL OR time < $5)
      AND ($6::TEXT IS NULL OR actor = $6) AND ($7::TEXT IS NULL OR action = $7)
      AND ($8::TEXT IS NULL OR substr(action, 1, length($8)) = $8) AND ($9::TEXT IS NULL OR outcome = $9)
    ORDER BY seq DESC LIMIT $10";

const FIND_OLDEST: &str = "
    SELECT seq, id, time, actor, action, resource, outcome, request_id, detail, detail_digest
    FROM (SELECT * FROM audit WHERE tenant_id = $1 AND seq > $2 ORDER BY seq LIMIT $3) AS looked_at
    WHERE ($4::BIGINT IS NULL OR time >= $4) AND ($5::BIGINT IS NULL OR time < $5)
      AND ($6::TEXT IS NULL OR actor = $6) AND ($7::TEXT IS NULL OR action = $7)
      AND ($8::TEXT IS NULL OR substr(action, 1, length($8)) = $8) AND ($9::TEXT IS NULL OR outcome = $9)
    ORDER BY seq LIMIT $10";

/// The last record that is looked at, and the one behind it.
const SCANNED_NEWEST: &str =
    "SELECT id FROM audit WHERE tenant_id = $1 AND seq < $2 ORDER BY seq DESC LIMIT 2 OFFSET $3 - 1";

const SCANNED_OLDEST: &str =
    "SELECT id FROM audit WHERE tenant_id = $1 AND seq > $2 ORDER BY seq LIMIT 2 OFFSET $3 - 1";

async fn head(conn: &mut PgConnection, chain: &Chain) -> Result<Head> {
    let row: Option<(i64, Vec<u8>, i64)> =
        query_as("SELECT seq, hash, fence FROM audit_seal WHERE tenant_id = $1 ORDER BY seq DESC LIMIT 1")
            .bind(chain.as_str())
            .fetch_optional(conn)
            .await
            .or_fault("audit.seal")?;
    match row {
        None => Ok(Head::default()),
        Some((seq, hash, fence)) => Ok(Head { seq, hash: digest_of(&hash)?, fence }),
    }
}

async fn unsealed(conn: &mut PgConnection, chain: &Chain, limit: u32) -> Result<Vec<StoredEntry>> {
    // A transaction id at or above the horizon's end was written by another cluster, and came with a dump.
    let rows: Vec<EntryRow> = query_as(
        "SELECT a.seq, a.id, a.time, a.actor, a.action, a.resource, a.outcome, a.request_id, a.detail,
                a.detail_digest
         FROM audit_pending AS p JOIN audit AS a ON a.tenant_id = p.tenant_id AND a.id = p.record_id
         WHERE p.tenant_id = $1
           AND (p.xid < pg_snapshot_xmin(pg_current_snapshot()) OR p.xid >= pg_snapshot_xmax(pg_current_snapshot()))
         ORDER BY p.xid, p.seq LIMIT $2",
    )
    .bind(chain.as_str())
    .bind(i64::from(limit))
    .fetch_all(conn)
    .await
    .or_fault("audit.seal")?;
    rows.into_iter().map(EntryRow::read).collect()
}

async fn count_unsealed(conn: &mut PgConnection, chain: &Chain) -> Result<u64> {
    let count: i64 = query_scalar(
        "SELECT count(*) FROM audit_pending AS p JOIN audit AS a ON a.tenant_id = p.tenant_id AND a.id = p.record_id
         WHERE p.tenant_id = $1",
    )
    .bind(chain.as_str())
    .fetch_one(conn)
    .await
    .or_fault("audit.seal")?;
    Ok(count.unsigned_abs())
}

async fn insert_seal(
    conn: &mut PgConnection,
    chain: &Chain,
    seal: &Seal,
    order: &SealOrder<'_>,
) -> Result<()> {
    query(
        "INSERT INTO audit_seal (tenant_id, seq, record_id, record_seq, prev_hash, hash, sealed_at, fence)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(chain.as_str())
    .bind(seal.seq)
    .bind(seal.record_id.to_string())
    .bind(seal.record_seq)
    .bind(seal.prev_hash.as_slice())
    .bind(seal.hash.as_slice())
    .bind(order.now.as_micros())
    .bind(order.fence)
    .execute(&mut *conn)
    .await
    .or_fault("audit.seal")?;
    query("DELETE FROM audit_pending WHERE tenant_id = $1 AND record_id = $2")
        .bind(chain.as_str())
        .bind(seal.record_id.to_string())
        .execute(conn)
        .await
        .or_fault("audit.seal")?;
    Ok(())
}

async fn insert_checkpoint(conn: &mut PgConnection, checkpoint: &Checkpoint) -> Result<()> {
    query(
        "INSERT INTO audit_checkpoint (tenant_id, seq, hash, time, key_id, signature)
         VALUES ($1, $2, $3, $4, $5, $6)",
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

async fn place_of(conn: &mut PgConnection, chain: &Chain, id: Uuid) -> Result<i64> {
    let place = query_scalar("SELECT seq FROM audit WHERE tenant_id = $1 AND id = $2")
        .bind(chain.as_str())
        .bind(id.to_string())
        .fetch_optional(conn)
        .await
        .or_fault("audit.read")?;
    place.ok_or_else(unknown_cursor)
}
