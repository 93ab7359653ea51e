//! API keys in PostgreSQL, in the kernel's control tables.

use async_trait::async_trait;
use mcp_core::{
    PlatformScope, Result,
    clock::Timestamp,
    scope::TenantId,
    sql::{
        OrFault as _,
        postgres::{ControlTx, PgKernel, query, query_as, query_scalar},
    },
};
use sqlx::PgConnection;

use super::{
    ApiKey, KeyDigest, KeyId, KeyStore, StoredKey,
    last_used::check_batch,
    row::{self, Row},
    store::{already_exists, is_revoked, not_found, parse_cursor, too_many},
};
use crate::{
    sql::Change,
    tenant::{MAX_PAGE, Page},
};

/// Whoever adds a key to a tenant takes its turn here until the transaction ends: what is counted after this
/// is what there is.
const TAKE_TURN: &str = "SELECT pg_advisory_xact_lock(hashtextextended('api_key/' || $1, 0))";

/// A [`KeyStore`] in PostgreSQL.
#[derive(Debug, Clone)]
pub struct PostgresKeyStore {
    kernel: PgKernel,
}

impl PostgresKeyStore {
    /// A store on `kernel`, which was opened with [`POSTGRES_MIGRATIONS`](crate::POSTGRES_MIGRATIONS).
    #[must_use]
    pub const fn new(kernel: PgKernel) -> Self {
        Self { kernel }
    }
}

#[async_trait]
impl KeyStore for PostgresKeyStore {
    async fn insert(&self, scope: &PlatformScope, stored: StoredKey, limit: u32) -> Result<()> {
        let StoredKey { key, digest, .. } = stored;
        let mut tx = self.kernel.control(scope).await?;
        query(TAKE_TURN).bind(key.tenant.as_str()).execute(tx.conn()).await.or_fault("key.create")?;
        let live = query_scalar::<i64>(row::LIVE)
            .bind(key.tenant.as_str())
            .bind(key.created_at.as_micros())
            .fetch_one(tx.conn())
            .await
            .or_fault("key.create")?;
        if live >= i64::from(limit) {
            return Err(too_many(limit));
        }
        let inserted = query(row::INSERT)
            .bind(key.id.as_str())
            .bind(key.tenant.as_str())
            .bind(key.name.as_str())
            .bind(key.principal_id.as_str())
            .bind(key.principal_kind.as_str())
            .bind(row::permissions(&key)?)
            .bind(&digest.as_bytes()[..])
            .bind(key.created_at.as_micros())
            .bind(key.expires_at.map(|at| at.as_micros()))
            .bind(key.revoked_at.map(|at| at.as_micros()))
            .execute(tx.conn())
            .await
            .or_fault("key.create")?;
        if inserted.rows_affected() == 0 {
            return Err(already_exists());
        }
        record(&mut tx, row::change(scope, ("create", "created"), &key)).await?;
        tx.commit().await
    }

    async fn find(&self, scope: &PlatformScope, id: &KeyId) -> Result<Option<StoredKey>> {
        let mut read = self.kernel.control_read(scope).await?;
        find(read.conn(), id).await
    }

    async fn list(
        &self,
        scope: &PlatformScope,
        tenant: &TenantId,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<ApiKey>> {
        let (after, limit) = (parse_cursor(cursor)?, limit.clamp(1, MAX_PAGE));
        let mut read = self.kernel.control_read(scope).await?;
        let rows = query_as::<Row>(row::PAGE)
            .bind(tenant.as_str())
            .bind(after.map_or_else(String::new, |id| id.to_string()))
            .bind(i64::from(limit) + 1)
            .fetch_all(read.conn())
            .await
            .or_fault("key.list")?;
        let items = rows.into_iter().map(|row| Ok(row::key(row)?.key)).collect::<Result<_>>()?;
        Ok(Page::cut(items, limit, |key: &ApiKey| key.id.to_string()))
    }

    async fn rotate(
        &self,
        scope: &PlatformScope,
        tenant: &TenantId,
        id: &KeyId,
        digest: KeyDigest,
        until: Option<Timestamp>,
    ) -> Result<ApiKey> {
        let mut tx = self.kernel.control(scope).await?;
        let now = tx.now();
        let rotated = query(row::ROTATE)
            .bind(tenant.as_str())
            .bind(id.as_str())
            .bind(&digest.as_bytes()[..])
            .bind(now.as_micros())
            .bind(until.map(Timestamp::as_micros))
            .execute(tx.conn())
            .await
            .or_fault("key.rotate")?;
        let stored = find(tx.conn(), id).await?.filter(|stored| stored.key.tenant == *tenant);
        let key = stored.ok_or_else(|| not_found("key.rotate", id))?.key;
        if rotated.rows_affected() == 0 {
            return Err(is_revoked(id));
        }
        record(&mut tx, row::change(scope, ("rotate", "rotated"), &key)).await?;
        tx.commit().await?;
        Ok(key)
    }

    async fn used(&self, scope: &PlatformScope, used: &[(KeyId, Timestamp)]) -> Result<()> {
        check_batch(used)?;
        if used.is_empty() {
            return Ok(());
        }
        let mut tx = self.kernel.control(scope).await?;
        for (id, at) in used {
            query(row::USED)
                .bind(id.as_str())
                .bind(at.as_micros())
                .execute(tx.conn())
                .await
                .or_fault("key.used")?;
        }
        tx.commit().await
    }

    async fn revoke(&self, scope: &PlatformScope, tenant: &TenantId, id: &KeyId) -> Result<ApiKey> {
        let mut tx = self.kernel.control(scope).await?;
        let now = tx.now();
        let revoked = query(row::REVOKE)
            .bind(tenant.as_str())
            .bind(id.as_str())
            .bind(now.as_micros())
            .execute(tx.conn())
            .await
            .or_fault("key.revoke")?;
        let stored = find(tx.conn(), id).await?.filter(|stored| stored.key.tenant == *tenant);
        let key = stored.ok_or_else(|| not_found("key.revoke", id))?.key;
        if revoked.rows_affected() == 0 {
            tx.rollback().await?;
            return Ok(key);
        }
        record(&mut tx, row::change(scope, ("revoke", "revoked"), &key)).await?;
        tx.commit().await?;
        Ok(key)
    }
}

async fn find(conn: &mut PgConnection, id: &KeyId) -> Result<Option<StoredKey>> {
    let row = query_as::<Row>(row::BY_ID).bind(id.as_str()).fetch_optional(conn).await;
    row.or_fault("key.find")?.map(row::key).transpose()
}

async fn record(tx: &mut ControlTx, change: Change) -> Result<()> {
    tx.emit(change.event).await?;
    tx.audit(change.record).await?;
    Ok(())
}
