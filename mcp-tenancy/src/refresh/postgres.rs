//! Lineages of refresh tokens in PostgreSQL, in the kernel's control tables.

use async_trait::async_trait;
use mcp_core::{
    PlatformScope, Result,
    clock::Timestamp,
    sql::{
        OrFault as _,
        postgres::{ControlTx, PgKernel, query, query_as},
    },
};
use sqlx::PgConnection;

use super::{
    FamilyId, MAX_FAMILIES, RefreshStore, Rotated, StoredFamily,
    row::{self, Row},
    store::already_exists,
};
use crate::sql::Change;

/// Whoever adds a lineage of a principal takes its turn here until the transaction ends.
const TAKE_TURN: &str = "SELECT pg_advisory_xact_lock(hashtextextended('refresh/' || $1 || '/' || $2, 0))";

/// A [`RefreshStore`] in PostgreSQL.
#[derive(Debug, Clone)]
pub struct PostgresRefreshStore {
    kernel: PgKernel,
}

impl PostgresRefreshStore {
    /// A store on `kernel`, which was opened with [`POSTGRES_MIGRATIONS`](crate::POSTGRES_MIGRATIONS).
    #[must_use]
    pub const fn new(kernel: PgKernel) -> Self {
        Self { kernel }
    }
}

#[async_trait]
impl RefreshStore for PostgresRefreshStore {
    async fn insert(&self, scope: &PlatformScope, family: StoredFamily) -> Result<()> {
        let mut tx = self.kernel.control(scope).await?;
        let (tenant, principal) = (family.tenant.as_str(), family.principal.id.as_str());
        query(TAKE_TURN).bind(tenant).bind(principal).execute(tx.conn()).await.or_fault("refresh.issue")?;
        query(row::PRUNE)
            .bind(tenant)
            .bind(family.created_at.as_micros())
            .execute(tx.conn())
            .await
            .or_fault("refresh.issue")?;
        query(row::GIVE_WAY)
            .bind(tenant)
            .bind(principal)
            .bind(i64::from(MAX_FAMILIES) - 1)
            .execute(tx.conn())
            .await
            .or_fault("refresh.issue")?;
        let inserted = query(row::INSERT)
            .bind(family.id.as_str())
            .bind(tenant)
            .bind(principal)
            .bind(family.principal.kind.as_str())
            .bind(row::permissions(&family)?)
            .bind(family.key.as_str())
            .bind(&family.tag_key[..])
            .bind(&family.digest.as_bytes()[..])
            .bind(family.generation)
            .bind(family.rotated_at.as_micros())
            .bind(family.created_at.as_micros())
            .bind(family.expires_at.as_micros())
            .execute(tx.conn())
            .await
            .or_fault("refresh.issue")?;
        if inserted.rows_affected() == 0 {
            return Err(already_exists());
        }
        finish(tx, row::begun(scope, &family)).await
    }

    async fn find(&self, scope: &PlatformScope, id: &FamilyId) -> Result<Option<StoredFamily>> {
        let mut read = self.kernel.control_read(scope).await?;
        find(read.conn(), id).await
    }

    async fn rotate(&self, scope: &PlatformScope, id: &FamilyId, rotated: Rotated) -> Result<bool> {
        let mut tx = self.kernel.control(scope).await?;
        let changed = query(row::ROTATE)
            .bind(id.as_str())
            .bind(&rotated.from.as_bytes()[..])
            .bind(&rotated.to.as_bytes()[..])
            .bind(&rotated.nonce[..])
            .bind(rotated.at.as_micros())
            .execute(tx.conn())
            .await
            .or_fault("refresh.redeem")?;
        tx.commit().await?;
        Ok(changed.rows_affected() == 1)
    }

    async fn revoke(
        &self,
        scope: &PlatformScope,
        id: &FamilyId,
        at: Timestamp,
        reason: &'static str,
    ) -> Result<()> {
        let mut tx = self.kernel.control(scope).await?;
        let revoked = query(row::REVOKE)
            .bind(id.as_str())
            .bind(at.as_micros())
            .execute(tx.conn())
            .await
            .or_fault("refresh.revoke")?;
        if revoked.rows_affected() == 0 {
            return tx.rollback().await;
        }
        match find(tx.conn(), id).await? {
            Some(family) => finish(tx, row::ended(scope, &family, reason)).await,
            None => tx.rollback().await,
        }
    }
}

async fn find(conn: &mut PgConnection, id: &FamilyId) -> Result<Option<StoredFamily>> {
    let row = query_as::<Row>(row::BY_ID).bind(id.as_str()).fetch_optional(conn).await;
    row.or_fault("refresh.find")?.map(row::family).transpose()
}

async fn finish(mut tx: ControlTx, change: Change) -> Result<()> {
    tx.emit(change.event).await?;
    tx.audit(change.record).await?;
    tx.commit().await
}
