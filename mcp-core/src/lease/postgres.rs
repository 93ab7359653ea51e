//! Leases in the control tables of PostgreSQL.

use std::time::Duration;

use async_trait::async_trait;

use super::{Lease, Leases, checked};
use crate::{
    clock::Timestamp,
    error::Result,
    scope::PlatformScope,
    sql::{
        OrFault as _,
        postgres::{PgKernel, query, query_as, query_scalar},
    },
};

/// Leases in the control tables of a PostgreSQL kernel: between all replicas.
#[derive(Debug, Clone)]
pub struct PgLeases(PgKernel);

impl PgLeases {
    /// Leases in the kernel's control tables.
    #[must_use]
    pub const fn new(kernel: PgKernel) -> Self {
        Self(kernel)
    }
}

#[async_trait]
impl Leases for PgLeases {
    async fn acquire(
        &self,
        scope: &PlatformScope,
        name: &str,
        owner: &str,
        ttl: Duration,
    ) -> Result<Option<Lease>> {
        let ttl = checked(name, owner, ttl)?;
        let mut tx = self.0.control(scope).await?;
        let taken: Option<(i64, i64)> = query_as(
            "WITH clock AS (SELECT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000000)::bigint AS now)
             INSERT INTO lease (name, owner, token, expires_at) SELECT $1::text, $2::text, 1, now + $3::bigint FROM clock WHERE true
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
        let ends: Option<i64> = query_scalar(
            "WITH clock AS (SELECT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000000)::bigint AS now)
             UPDATE lease SET expires_at = (SELECT now FROM clock) + $1
             WHERE name = $2 AND owner = $3 AND token = $4 AND expires_at > (SELECT now FROM clock)
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
        query("UPDATE lease SET expires_at = 0 WHERE name = $1 AND owner = $2 AND token = $3")
            .bind(&lease.name)
            .bind(&lease.owner)
            .bind(lease.token)
            .execute(tx.conn())
            .await
            .or_fault("lease.release")?;
        tx.commit().await
    }
}
