//! Data keys in SQLite, in the kernel's control tables.

use async_trait::async_trait;
use sqlx::SqliteConnection;

use super::{
    DataKeyStore, NewDataKey, Rewrap, Shredded, StoredDataKey,
    row::{self, Row},
    store::{may_follow, not_the_next, receipt, rewrapped_meanwhile},
};
use crate::{
    audit::AuditRecord,
    clock::Timestamp,
    error::{Error, Result},
    scope::{PlatformScope, Scope, TenantId},
    sql::{OrFault as _, sqlite::SqliteKernel},
};

/// A [`DataKeyStore`] in SQLite. The audit log of changes is the platform's, that of unsealings the tenant's.
#[derive(Debug, Clone)]
pub struct SqliteDataKeyStore {
    kernel: SqliteKernel,
}

impl SqliteDataKeyStore {
    /// A store in the control tables of `kernel`.
    #[must_use]
    pub const fn new(kernel: SqliteKernel) -> Self {
        Self { kernel }
    }
}

#[async_trait]
impl DataKeyStore for SqliteDataKeyStore {
    async fn newest(&self, scope: &PlatformScope, tenant: &TenantId) -> Result<Option<StoredDataKey>> {
        let mut read = self.kernel.control_read(scope).await?;
        newest(read.conn(), tenant).await
    }

    async fn find(
        &self,
        scope: &PlatformScope,
        tenant: &TenantId,
        version: u32,
    ) -> Result<Option<StoredDataKey>> {
        let mut read = self.kernel.control_read(scope).await?;
        let row = sqlx::query_as::<_, Row>(row::FIND)
            .bind(tenant.as_str())
            .bind(i64::from(version))
            .fetch_optional(read.conn())
            .await;
        row.or_fault("key.read")?.map(row::key).transpose()
    }

    async fn all(&self, scope: &PlatformScope, tenant: &TenantId) -> Result<Vec<StoredDataKey>> {
        let mut read = self.kernel.control_read(scope).await?;
        all(read.conn(), tenant).await
    }

    async fn first(&self, scope: &PlatformScope, key: NewDataKey) -> Result<StoredDataKey> {
        let mut tx = self.kernel.control(scope).await?;
        let now = tx.now();
        if !insert(tx.conn(), &key, now).await? {
            let kept = newest(tx.conn(), &key.tenant).await?;
            tx.rollback().await?;
            return kept.ok_or_else(|| Error::internal("key.create", "a data key is there and is not"));
        }
        tx.audit(row::made(scope, "data_key.create", &key)).await?;
        tx.commit().await?;
        Ok(row::stored(key, now))
    }

    async fn rotate(&self, scope: &PlatformScope, key: NewDataKey) -> Result<StoredDataKey> {
        let mut tx = self.kernel.control(scope).await?;
        may_follow(newest(tx.conn(), &key.tenant).await?.as_ref(), &key)?;
        let now = tx.now();
        if !insert(tx.conn(), &key, now).await? {
            return Err(not_the_next(key.version));
        }
        tx.audit(row::made(scope, "data_key.rotate", &key)).await?;
        tx.commit().await?;
        Ok(row::stored(key, now))
    }

    async fn rewrap(&self, scope: &PlatformScope, tenant: &TenantId, keys: &[Rewrap]) -> Result<()> {
        if keys.is_empty() {
            return Ok(());
        }
        let mut tx = self.kernel.control(scope).await?;
        for key in keys {
            let replaced = sqlx::query(row::REWRAP)
                .bind(tenant.as_str())
                .bind(i64::from(key.version))
                .bind(key.to.wrapping_key.clone())
                .bind(key.to.bytes.clone())
                .bind(key.from.wrapping_key.clone())
                .bind(key.from.bytes.clone())
                .execute(tx.conn())
                .await
                .or_fault("key.rewrap")?;
            if replaced.rows_affected() == 0 {
                return Err(rewrapped_meanwhile());
            }
        }
        tx.audit(row::rewrapped(scope, tenant, keys)).await?;
        tx.commit().await
    }

    async fn shred(&self, scope: &PlatformScope, tenant: &TenantId) -> Result<Shredded> {
        let mut tx = self.kernel.control(scope).await?;
        let now = tx.now().as_micros();
        let mut changed = 0;
        for sql in [row::TOMBSTONE, row::SHRED] {
            let done = sqlx::query(sql).bind(tenant.as_str()).bind(now).execute(tx.conn()).await;
            changed += done.or_fault("key.shred")?.rows_affected();
        }
        let shredded = receipt(tenant, &all(tx.conn(), tenant).await?)?;
        if changed == 0 {
            tx.rollback().await?;
            return Ok(shredded);
        }
        tx.audit(row::shredded(scope, &shredded)).await?;
        tx.commit().await?;
        Ok(shredded)
    }

    async fn tenants(
        &self,
        scope: &PlatformScope,
        after: Option<&TenantId>,
        limit: u32,
    ) -> Result<Vec<TenantId>> {
        let mut read = self.kernel.control_read(scope).await?;
        let ids: Vec<String> = sqlx::query_scalar(row::TENANTS)
            .bind(after.map_or_else(String::new, |after| after.as_str().to_owned()))
            .bind(i64::from(limit))
            .fetch_all(read.conn())
            .await
            .or_fault("key.read")?;
        ids.iter().map(|id| TenantId::parse(id)).collect()
    }

    async fn wrapping_keys(&self, scope: &PlatformScope) -> Result<Vec<(String, u64)>> {
        let mut read = self.kernel.control_read(scope).await?;
        let rows: Vec<(String, i64)> =
            sqlx::query_as(row::WRAPPING_KEYS).fetch_all(read.conn()).await.or_fault("key.read")?;
        Ok(rows.into_iter().map(|(name, count)| (name, count.unsigned_abs())).collect())
    }

    async fn record(&self, scope: &Scope, record: AuditRecord) -> Result<()> {
        let mut tx = self.kernel.begin(scope).await?;
        tx.audit(record).await?;
        tx.commit().await
    }
}

/// Whether the key was put in, rather than being there already.
async fn insert(conn: &mut SqliteConnection, key: &NewDataKey, now: Timestamp) -> Result<bool> {
    let inserted = sqlx::query(row::INSERT)
        .bind(key.tenant.as_str())
        .bind(i64::from(key.version))
        .bind(key.wrapped.wrapping_key.as_str())
        .bind(key.wrapped.bytes.as_slice())
        .bind(key.check.as_slice())
        .bind(now.as_micros())
        .execute(conn)
        .await
        .or_fault("key.create")?;
    Ok(inserted.rows_affected() > 0)
}

async fn newest(conn: &mut SqliteConnection, tenant: &TenantId) -> Result<Option<StoredDataKey>> {
    let row = sqlx::query_as::<_, Row>(row::NEWEST).bind(tenant.as_str()).fetch_optional(conn).await;
    row.or_fault("key.read")?.map(row::key).transpose()
}

async fn all(conn: &mut SqliteConnection, tenant: &TenantId) -> Result<Vec<StoredDataKey>> {
    let rows = sqlx::query_as::<_, Row>(row::ALL).bind(tenant.as_str()).fetch_all(conn).await;
    rows.or_fault("key.read")?.into_iter().map(row::key).collect()
}
