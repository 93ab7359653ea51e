//! Leases in `control.db`.

use std::time::Duration;

use async_trait::async_trait;

use super::{Lease, Leases, checked};
use crate::{
    clock::Timestamp,
    error::Result,
    scope::PlatformScope,
    sql::{OrFault as _, sqlite::SqliteKernel},
};

/// Leases in the control tables of a SQLite kernel: between the processes of one machine.
#[derive(Debug, Clone)]
pub struct SqliteLeases(SqliteKernel);

impl SqliteLeases {
    /// Leases in the kernel's control tables.
    #[must_use]
    pub const fn new(kernel: SqliteKernel) -> Self {
        Self(kernel)
    }
}

#[async_trait]
impl Leases for SqliteLeases {
    async fn acquire(
        &self,
        scope: &PlatformScope,
        name: &str,
        owner: &str,
        ttl: Duration,
    ) -> Result<Option<Lease>> {
        let ttl = checked(name, owner, ttl)?;
        let mut tx = self.0.control(scope).await?;
        let taken: Option<(i64, i64)> = sqlx::query_as(
            "WITH clock AS (SELECT CAST(unixepoch('subsec') * 1000000 AS INTEGER) AS now)
             INSERT INTO lease (name, owner, token, expires_at) SELECT ?, ?, 1, now + ? FROM clock WHERE true
             ON CONFLICT (name) DO UPDATE
             SET owner = excluded.owner, token = lease.token + 1, expires_at = excluded.expires_at
             WHERE lease.expires_at <= (SELECT now FROM clock)
             RETURNING token, expires_at",
        )
        .bind(name)
        .bind(owner)
        .bind(ttl)
        .fetch_optional(tx.conn())
        .await
        .or_fault("lease.acquire")?;
        tx.commit().await?;
        Ok(taken.map(|(token, ends)| Lease {
            name: name.to_owned(),
            owner: owner.to_owned(),
            token,
            expires_at: Timestamp::from_micros(ends),
        }))
    }

    async fn renew(&self, scope: &PlatformScope, lease: &Lease, ttl: Duration) -> Result<Option<Lease>> {
        let ttl = checked(&lease.name, &lease.owner, ttl)?;
        let mut tx = self.0.control(scope).await?;
        let ends: Option<i64> = sqlx::query_scalar(
            "WITH clock AS (SELECT CAST(unixepoch('subsec') * 1000000 AS INTEGER) AS now)
             UPDATE lease SET expires_at = (SELECT now FROM clock) + ?
             WHERE name = ? AND owner = ? AND token = ? AND expires_at > (SELECT now FROM clock)
             RETURNING expires_at",
        )
        .bind(ttl)
        .bind(&lease.name)
        .bind(&lease.owner)
        .bind(lease.token)
        .fetch_optional(tx.conn())
        .await
        .or_fault("lease.renew")?;
        tx.commit().await?;
        Ok(ends.map(|ends| Lease { expires_at: Timestamp::from_micros(ends), ..lease.clone() }))
    }

    async fn release(&self, scope: &PlatformScope, lease: &Lease) -> Result<()> {
        let mut tx = self.0.control(scope).await?;
        // The row stays, so that the next token is higher.
        sqlx::query("UPDATE lease SET expires_at = 0 WHERE name = ? AND owner = ? AND token = ?")
            .bind(&lease.name)
            .bind(&lease.owner)
            .bind(lease.token)
            .execute(tx.conn())
            .await
            .or_fault("lease.release")?;
        tx.commit().await
    }
}
