//! Issuers in PostgreSQL, in the kernel's control tables.

use async_trait::async_trait;
use mcp_core::{
    PlatformScope, Result,
    scope::TenantId,
    sql::{
        OrFault as _,
        postgres::{ControlTx, PgKernel, query, query_as, query_scalar},
    },
};
use sqlx::PgConnection;

use super::{
    Issuer, IssuerId, IssuerStore, IssuerWrite, MAX_ISSUERS, StoredIssuer,
    row::{self, Row},
    store::{check_version, not_found, parse_cursor, stale, taken, too_many},
};
use crate::{
    sql::Change,
    tenant::{MAX_PAGE, Page},
};

/// An [`IssuerStore`] in PostgreSQL.
#[derive(Debug, Clone)]
pub struct PostgresIssuerStore {
    kernel: PgKernel,
}

impl PostgresIssuerStore {
    /// A store on `kernel`, which was opened with [`POSTGRES_MIGRATIONS`](crate::POSTGRES_MIGRATIONS).
    #[must_use]
    pub const fn new(kernel: PgKernel) -> Self {
        Self { kernel }
    }
}

#[async_trait]
impl IssuerStore for PostgresIssuerStore {
    async fn put(&self, scope: &PlatformScope, write: IssuerWrite) -> Result<Issuer> {
        write.validate()?;
        let mut tx = self.kernel.control(scope).await?;
        let revision = next_revision(tx.conn()).await?;
        let stored = find(tx.conn(), &write.id).await?.map(|stored| stored.issuer);
        check_version(&write, stored.as_ref())?;
        refuse_taken(tx.conn(), &write).await?;
        let written = row::written(write, stored.as_ref(), revision, tx.now());
        let change = row::change(scope, ("put", "changed"), &written.issuer);
        self::write(tx, written, change).await
    }

    async fn remove(&self, scope: &PlatformScope, id: &IssuerId, expected_version: i64) -> Result<Issuer> {
        let mut tx = self.kernel.control(scope).await?;
        let revision = next_revision(tx.conn()).await?;
        let stored = find(tx.conn(), id).await?.filter(|stored| !stored.issuer.removed);
        let issuer = stored.ok_or_else(|| not_found("issuer.remove", id))?.issuer;
        if issuer.version != expected_version {
            return Err(stale(issuer.version));
        }
        let removed = row::removed(issuer, revision, tx.now());
        let change = row::change(scope, ("remove", "removed"), &removed.issuer);
        write(tx, removed, change).await
    }

    async fn get(&self, scope: &PlatformScope, id: &IssuerId) -> Result<Option<StoredIssuer>> {
        let mut read = self.kernel.control_read(scope).await?;
        Ok(find(read.conn(), id).await?.filter(|stored| !stored.issuer.removed))
    }

    async fn list(
        &self,
        scope: &PlatformScope,
        tenant: Option<&TenantId>,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Issuer>> {
        let (after, limit) = (parse_cursor(cursor)?, limit.clamp(1, MAX_PAGE));
        let mut read = self.kernel.control_read(scope).await?;
        let rows = query_as::<Row>(row::PAGE)
            .bind(after.map_or_else(String::new, |id| id.to_string()))
            .bind(tenant.map_or("", TenantId::as_str))
            .bind(i64::from(limit) + 1)
            .fetch_all(read.conn())
            .await
            .or_fault("issuer.list")?;
        let items = rows.into_iter().map(|row| Ok(row::issuer(row)?.issuer)).collect::<Result<_>>()?;
        Ok(Page::cut(items, limit, |issuer: &Issuer| issuer.id.to_string()))
    }

    async fn changes_since(
        &self,
        scope: &PlatformScope,
        revision: i64,
        limit: u32,
    ) -> Result<Vec<StoredIssuer>> {
        let mut read = self.kernel.control_read(scope).await?;
        let rows = query_as::<Row>(row::CHANGES)
            .bind(revision)
            .bind(i64::from(limit.clamp(1, MAX_PAGE)))
            .fetch_all(read.conn())
            .await
            .or_fault("issuer.changes")?;
        rows.into_iter().map(row::issuer).collect()
    }
}

/// Takes the next revision and, until the transaction ends, every other writer's turn: what is read after this is
/// what is there, and revisions become visible in their order.
async fn next_revision(conn: &mut PgConnection) -> Result<i64> {
    query_scalar(row::NEXT_REVISION).fetch_one(conn).await.or_fault("issuer.revision")
}

async fn find(conn: &mut PgConnection, id: &IssuerId) -> Result<Option<StoredIssuer>> {
    let row = query_as::<Row>(row::BY_ID).bind(id.as_str()).fetch_optional(conn).await;
    row.or_fault("issuer.get")?.map(row::issuer).transpose()
}

async fn refuse_taken(conn: &mut PgConnection, write: &IssuerWrite) -> Result<()> {
    let tenant = row::tenant(&write.spec);
    let in_the_way = query_as::<Row>(row::IN_THE_WAY)
        .bind(write.spec.url.as_str())
        .bind(tenant)
        .bind(write.id.as_str())
        .bind(write.spec.check.kind())
        .fetch_optional(&mut *conn)
        .await
        .or_fault("issuer.put")?;
    if let Some(error) =
        in_the_way.map(row::issuer).transpose()?.and_then(|other| taken(write, &other.issuer))
    {
        return Err(error);
    }
    let others: i64 = query_scalar(row::COUNT)
        .bind(tenant)
        .bind(write.id.as_str())
        .fetch_one(conn)
        .await
        .or_fault("issuer.put")?;
    if others >= i64::from(MAX_ISSUERS) { Err(too_many()) } else { Ok(()) }
}

async fn write(mut tx: ControlTx, stored: StoredIssuer, change: Change) -> Result<Issuer> {
    let StoredIssuer { issuer, sealed_secret } = stored;
    query(row::WRITE)
        .bind(issuer.id.as_str())
        .bind(row::tenant(&issuer.spec))
        .bind(issuer.spec.url.as_str())
        .bind(issuer.spec.check.kind())
        .bind(row::spec(&issuer)?)
        .bind(sealed_secret)
        .bind(i64::from(issuer.removed))
        .bind(issuer.created_at.as_micros())
        .bind(issuer.updated_at.as_micros())
        .bind(issuer.version)
        .bind(issuer.revision)
        .execute(tx.conn())
        .await
        .or_fault("issuer.put")?;
    tx.emit(change.event).await?;
    tx.audit(change.record).await?;
    tx.commit().await?;
    Ok(issuer)
}
