//! Signing keys in PostgreSQL, in the kernel's control tables.

use std::time::Duration;

use async_trait::async_trait;
use mcp_core::{
    Error, PlatformScope, Result,
    clock::Timestamp,
    scope::TenantId,
    sql::{
        OrFault as _,
        postgres::{ControlTx, PgKernel, query, query_as},
    },
};
use sqlx::PgConnection;

use super::{
    Grant, MAX_SIGNING_KEYS, SigningKey, SigningKeyStore,
    rotation::{Plan, conflict, plan_removal, plan_rotation},
    row::{self, Row},
};
use crate::sql::Change;

/// Whoever changes a tenant's keys takes its turn here; what is read after this is what is there.
const TAKE_TURN: &str = "SELECT 1 FROM signing_key WHERE tenant_id = $1 FOR UPDATE";

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
        if insert(tx.conn(), row::FIRST, &key).await? == 0 {
            let kept = newest(tx.conn(), &key.tenant, 1).await?.pop();
            tx.rollback().await?;
            return kept.ok_or_else(|| Error::internal("token.key", "a signing key is there and is not"));
        }
        finish(tx, row::change(scope, ("create", "created"), &key)).await?;
        Ok(key)
    }

    async fn rotate(&self, scope: &PlatformScope, key: SigningKey, overlap: Duration) -> Result<SigningKey> {
        let mut tx = self.kernel.control(scope).await?;
        let keys = taken_turn(tx.conn(), &key.tenant).await?;
        let plan = plan_rotation(&keys, key.clone(), overlap)?;
        let kept = plan.insert.clone().unwrap_or(key);
        apply(tx.conn(), &kept.tenant, plan).await?;
        finish(tx, row::change(scope, ("rotate", "rotated"), &kept)).await?;
        Ok(kept)
    }

    async fn remove(
        &self,
        scope: &PlatformScope,
        tenant: &TenantId,
        kid: &str,
        now: Timestamp,
    ) -> Result<SigningKey> {
        let mut tx = self.kernel.control(scope).await?;
        let keys = taken_turn(tx.conn(), tenant).await?;
        let (removed, plan) = plan_removal(&keys, kid, now)?;
        apply(tx.conn(), tenant, plan).await?;
        finish(tx, row::change(scope, ("remove", "removed"), &removed)).await?;
        Ok(removed)
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

async fn taken_turn(conn: &mut PgConnection, tenant: &TenantId) -> Result<Vec<SigningKey>> {
    query(TAKE_TURN).bind(tenant.as_str()).execute(&mut *conn).await.or_fault("token.key")?;
    newest(conn, tenant, u32::MAX).await
}

async fn apply(conn: &mut PgConnection, tenant: &TenantId, plan: Plan) -> Result<()> {
    for kid in plan.delete {
        query(row::DELETE).bind(tenant.as_str()).bind(kid).execute(&mut *conn).await.or_fault("token.key")?;
    }
    for key in plan.amend {
        query(row::AMEND)
            .bind(tenant.as_str())
            .bind(key.kid)
            .bind(key.signs_until.map(Timestamp::as_micros))
            .bind(key.verifies_until.map(Timestamp::as_micros))
            .execute(&mut *conn)
            .await
            .or_fault("token.key")?;
    }
    if let Some(key) = plan.insert
        && insert(conn, row::INSERT, &key).await? == 0
    {
        return Err(conflict("the tenant's keys were rotated at the same moment; look at them".to_owned()));
    }
    Ok(())
}

async fn insert(conn: &mut PgConnection, statement: &'static str, key: &SigningKey) -> Result<u64> {
    let inserted = query(statement)
        .bind(key.tenant.as_str())
        .bind(key.kid.as_str())
        .bind(key.algorithm.as_str())
        .bind(key.public.as_slice())
        .bind(key.sealed.as_slice())
        .bind(key.created_at.as_micros())
        .bind(key.active_from.as_micros())
        .bind(key.signs_until.map(Timestamp::as_micros))
        .bind(key.verifies_until.map(Timestamp::as_micros))
        .execute(conn)
        .await
        .or_fault("token.key")?;
    Ok(inserted.rows_affected())
}

async fn finish(mut tx: ControlTx, change: Change) -> Result<()> {
    tx.emit(change.event).await?;
    tx.audit(change.record).await?;
    tx.commit().await
}
