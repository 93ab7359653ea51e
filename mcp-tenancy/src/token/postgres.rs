//! Signing keys in PostgreSQL, in the kernel's control tables.

use async_trait::async_trait;
use mcp_core::{
    Error, PlatformScope, Result,
    scope::TenantId,
    sql::{
        OrFault as _,
        postgres::{PgKernel, query, query_as},
    },
};
use sqlx::PgConnection;

use super::{
    Grant, MAX_SIGNING_KEYS, SigningKey, SigningKeyStore,
    row::{self, Row},
};

/// A [`SigningKeyStore`] in PostgreSQL.
#[derive(Debug, Clone)]
pub struct PostgresSigningKeyStore {
    kernel: PgKernel,
}

impl PostgresSigningKeyStore {
    /// A store on `kernel`, which was opened with [`POSTGRES_MIGRATIONS`](crate::POSTGRES_MIGRATIONS).
    #[must_use]
    pub const fn new(kernel: PgKernel) -> Self {
        Self { kernel }
    }
}

#[async_trait]
impl SigningKeyStore for PostgresSigningKeyStore {
    async fn keys(&self, scope: &PlatformScope, tenant: &TenantId) -> Result<Vec<SigningKey>> {
        let mut read = self.kernel.control_read(scope).await?;
        newest(read.conn(), tenant, MAX_SIGNING_KEYS).await
    }

    async fn first(&self, scope: &PlatformScope, key: SigningKey) -> Result<SigningKey> {
        let mut tx = self.kernel.control(scope).await?;
        let inserted = query(row::FIRST)
            .bind(key.tenant.as_str())
            .bind(key.kid.as_str())
            .bind(key.public.as_slice())
            .bind(key.sealed.as_slice())
            .bind(key.created_at.as_micros())
            .execute(tx.conn())
            .await
            .or_fault("token.key")?;
        if inserted.rows_affected() == 0 {
            let kept = newest(tx.conn(), &key.tenant, 1).await?.pop();
            tx.rollback().await?;
            return kept.ok_or_else(|| Error::internal("token.key", "a signing key is there and is not"));
        }
        let change = row::made(scope, &key);
        tx.emit(change.event).await?;
        tx.audit(change.record).await?;
        tx.commit().await?;
        Ok(key)
    }

    async fn record(&self, scope: &PlatformScope, grant: &Grant) -> Result<()> {
        let mut tx = self.kernel.control(scope).await?;
        tx.audit(row::issued(scope, grant)).await?;
        tx.commit().await
    }
}

async fn newest(conn: &mut PgConnection, tenant: &TenantId, limit: u32) -> Result<Vec<SigningKey>> {
    let rows = query_as::<Row>(row::NEWEST)
        .bind(tenant.as_str())
        .bind(i64::from(limit))
        .fetch_all(conn)
        .await
        .or_fault("token.key")?;
    rows.into_iter().map(row::key).collect()
}
