//! Registered certificates in SQLite, in the kernel's control tables.

use async_trait::async_trait;
use mcp_core::{
    PlatformScope, Result,
    scope::TenantId,
    sql::{
        OrFault as _,
        sqlite::{ControlTx, SqliteKernel},
    },
};

use super::{
    CertificateIdentity, CertificateStore, CertificateSubject,
    row::{self, Row},
    store::{already_exists, not_found},
};
use crate::{
    key::{KeyId, parse_cursor},
    sql::Change,
    tenant::{MAX_PAGE, Page},
};

/// A [`CertificateStore`] in SQLite.
#[derive(Debug, Clone)]
pub struct SqliteCertificateStore {
    kernel: SqliteKernel,
}

impl SqliteCertificateStore {
    /// A store on `kernel`, which was opened with [`SQLITE_MIGRATIONS`](crate::SQLITE_MIGRATIONS).
    #[must_use]
    pub const fn new(kernel: SqliteKernel) -> Self {
        Self { kernel }
    }
}

#[async_trait]
impl CertificateStore for SqliteCertificateStore {
    async fn insert(&self, scope: &PlatformScope, identity: CertificateIdentity) -> Result<()> {
        let mut tx = self.kernel.control(scope).await?;
        let inserted = sqlx::query(row::INSERT)
            .bind(identity.id.as_str())
            .bind(identity.tenant.as_str())
            .bind(identity.name.as_str())
            .bind(identity.subject.as_str())
            .bind(identity.principal_id.as_str())
            .bind(identity.principal_kind.as_str())
            .bind(row::permissions(&identity)?)
            .bind(identity.created_at.as_micros())
            .bind(identity.expires_at.map(|at| at.as_micros()))
            .execute(tx.conn())
            .await
            .or_fault("certificate.create")?;
        if inserted.rows_affected() == 0 {
            return Err(already_exists(&identity.subject));
        }
        finish(tx, row::change(scope, ("create", "created"), &identity)).await
    }

    async fn find(
        &self,
        scope: &PlatformScope,
        subjects: &[CertificateSubject],
    ) -> Result<Vec<CertificateIdentity>> {
        let mut read = self.kernel.control_read(scope).await?;
        let mut found = Vec::new();
        for subject in subjects {
            let row = sqlx::query_as::<_, Row>(row::BY_SUBJECT)
                .bind(subject.as_str())
                .fetch_optional(read.conn())
                .await;
            found.extend(row.or_fault("certificate.find")?.map(row::identity).transpose()?);
        }
        Ok(found)
    }

    async fn list(
        &self,
        scope: &PlatformScope,
        tenant: &TenantId,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<CertificateIdentity>> {
        let (after, limit) = (parse_cursor(cursor)?, limit.clamp(1, MAX_PAGE));
        let mut read = self.kernel.control_read(scope).await?;
        let rows = sqlx::query_as::<_, Row>(row::PAGE)
            .bind(tenant.as_str())
            .bind(after.map_or_else(String::new, |id| id.to_string()))
            .bind(i64::from(limit) + 1)
            .fetch_all(read.conn())
            .await
            .or_fault("certificate.list")?;
        let items = rows.into_iter().map(row::identity).collect::<Result<_>>()?;
        Ok(Page::cut(items, limit, |held: &CertificateIdentity| held.id.to_string()))
    }

    async fn remove(
        &self,
        scope: &PlatformScope,
        tenant: &TenantId,
        id: &KeyId,
    ) -> Result<CertificateIdentity> {
        let mut tx = self.kernel.control(scope).await?;
        let row = sqlx::query_as::<_, Row>(row::BY_ID)
            .bind(tenant.as_str())
            .bind(id.as_str())
            .fetch_optional(tx.conn())
            .await;
        let row = row.or_fault("certificate.remove")?.ok_or_else(|| not_found(id))?;
        let identity = row::identity(row)?;
        let deleted =
            sqlx::query(row::DELETE).bind(tenant.as_str()).bind(id.as_str()).execute(tx.conn()).await;
        if deleted.or_fault("certificate.remove")?.rows_affected() == 0 {
            return Err(not_found(id));
        }
        finish(tx, row::change(scope, ("remove", "removed"), &identity)).await?;
        Ok(identity)
    }
}

async fn finish(mut tx: ControlTx, change: Change) -> Result<()> {
    tx.emit(change.event).await?;
    tx.audit(change.record).await?;
    tx.commit().await
}
