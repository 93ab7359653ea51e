//! Revocations in PostgreSQL, in the kernel's control tables.

use async_trait::async_trait;
use mcp_core::{
    PlatformScope, Result,
    scope::TenantId,
    sql::{
        OrFault as _,
        postgres::{ControlTx, PgKernel, query, query_as, query_scalar},
    },
};

use super::{
    DeniedToken, MAX_DENIED, Revocation, RevocationChange, RevocationStore,
    row::{self, Row},
    store::too_many,
};
use crate::tenant::MAX_PAGE;

/// A [`RevocationStore`] in PostgreSQL.
#[derive(Debug, Clone)]
pub struct PostgresRevocationStore {
    kernel: PgKernel,
    max_denied: u32,
}

impl PostgresRevocationStore {
    /// A store on `kernel`, which was opened with [`POSTGRES_MIGRATIONS`](crate::POSTGRES_MIGRATIONS).
    #[must_use]
    pub const fn new(kernel: PgKernel) -> Self {
        Self { kernel, max_denied: MAX_DENIED }
    }

    /// The same store for at most `most` denied tokens of a tenant at a time.
    #[must_use]
    pub fn with_max_denied(mut self, most: u32) -> Self {
        self.max_denied = most;
        self
    }
}

#[async_trait]
impl RevocationStore for PostgresRevocationStore {
    async fn deny(&self, scope: &PlatformScope, token: DeniedToken) -> Result<RevocationChange> {
        let mut tx = self.kernel.control(scope).await?;
        token.validate(tx.now())?;
        let revision = next_revision(&mut tx).await?;
        let former = find(&mut tx, token.tenant.as_str(), &token.issuer, &token.id).await?;
        match former {
            Some(former) if row::columns(&former.revocation).3 >= token.expires_at.as_micros() => {
                tx.rollback().await?;
                return Ok(former);
            }
            Some(_) => {}
            None => refuse_too_many(&mut tx, &token.tenant, self.max_denied).await?,
        }
        write(tx, scope, RevocationChange { revocation: Revocation::Token(token), revision }).await
    }

    async fn end_all(&self, scope: &PlatformScope, tenant: &TenantId) -> Result<RevocationChange> {
        let mut tx = self.kernel.control(scope).await?;
        let revision = next_revision(&mut tx).await?;
        let mut issued_until = tx.now();
        if let Some(RevocationChange { revocation: Revocation::All { issued_until: former, .. }, .. }) =
            find(&mut tx, tenant.as_str(), "", "").await?
        {
            issued_until = issued_until.max(former);
        }
        let revocation = Revocation::All { tenant: tenant.clone(), issued_until };
        write(tx, scope, RevocationChange { revocation, revision }).await
    }

    async fn changes_since(
        &self,
        scope: &PlatformScope,
        revision: i64,
        limit: u32,
    ) -> Result<Vec<RevocationChange>> {
        let mut read = self.kernel.control_read(scope).await?;
        let rows = query_as::<Row>(row::CHANGES)
            .bind(revision)
            .bind(i64::from(limit.clamp(1, MAX_PAGE)))
            .fetch_all(read.conn())
            .await
            .or_fault("token.revocations")?;
        rows.into_iter().map(row::change).collect()
    }

    async fn prune(&self, scope: &PlatformScope, limit: u32) -> Result<u64> {
        let mut tx = self.kernel.control(scope).await?;
        let now = tx.now();
        let pruned = query(row::PRUNE)
            .bind(now.as_micros())
            .bind(i64::from(limit))
            .execute(tx.conn())
            .await
            .or_fault("token.prune")?;
        tx.commit().await?;
        Ok(pruned.rows_affected())
    }
}

/// Takes the next revision and, until the transaction ends, every other writer's turn.
async fn next_revision(tx: &mut ControlTx) -> Result<i64> {
    query_scalar(row::NEXT_REVISION).fetch_one(tx.conn()).await.or_fault("token.revoke")
}

async fn find(tx: &mut ControlTx, tenant: &str, issuer: &str, id: &str) -> Result<Option<RevocationChange>> {
    let row = query_as::<Row>(row::FIND)
        .bind(tenant)
        .bind(issuer)
        .bind(id)
        .fetch_optional(tx.conn())
        .await
        .or_fault("token.revoke")?;
    row.map(row::change).transpose()
}

async fn refuse_too_many(tx: &mut ControlTx, tenant: &TenantId, most: u32) -> Result<()> {
    let now = tx.now();
    let live: i64 = query_scalar(row::LIVE)
        .bind(tenant.as_str())
        .bind(now.as_micros())
        .fetch_one(tx.conn())
        .await
        .or_fault("token.revoke")?;
    if live >= i64::from(most) { Err(too_many(most)) } else { Ok(()) }
}

async fn write(
    mut tx: ControlTx,
    scope: &PlatformScope,
    change: RevocationChange,
) -> Result<RevocationChange> {
    let (tenant, issuer, id, until) = row::columns(&change.revocation);
    query(row::WRITE)
        .bind(tenant)
        .bind(issuer)
        .bind(id)
        .bind(until)
        .bind(change.revision)
        .execute(tx.conn())
        .await
        .or_fault("token.revoke")?;
    let beside = row::beside(scope, &change.revocation);
    tx.emit(beside.event).await?;
    tx.audit(beside.record).await?;
    tx.commit().await?;
    Ok(change)
}
